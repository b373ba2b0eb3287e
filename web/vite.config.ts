import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/**
 * The design system can load any of its 260 icons and all its illustrations by name, which would put every one of them
 * into the hub's binary. Ours are imported where they are used; the loaders by name are replaced.
 */
function withoutIconsByName(): Plugin {
  const own = {
    LazyIcon: fileURLToPath(new URL('./src/parts/LazyIcon.tsx', import.meta.url)),
    LazyIllustration: fileURLToPath(new URL('./src/parts/LazyIllustration.tsx', import.meta.url)),
  };
  return {
    name: 'without-icons-by-name',
    enforce: 'pre',
    resolveId(source, importer) {
      if (!importer?.includes('@helsenorge/designsystem-react')) return null;
      if (source.endsWith('/LazyIcon.js')) return own.LazyIcon;
      if (source.endsWith('/LazyIllustration.js')) return own.LazyIllustration;
      return null;
    },
  };
}

const hub = process.env['HELSENAV_BASE'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [withoutIconsByName(), react()],
  build: {
    outDir: 'dist',
    assetsDir: 'assets',
    // The content security policy allows no data: scripts, and small files cache better by themselves.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: 'es2022',
    chunkSizeWarningLimit: 600,
  },
  css: { preprocessorOptions: { scss: { quietDeps: true, silenceDeprecations: ['import', 'global-builtin', 'color-functions', 'if-function'] } } },
  server: {
    proxy: {
      '/api': hub,
      '/logginn': hub,
      '/helsepersonell/logginn': hub,
      '/helsepersonell/callback': hub,
      '/drift/logginn': hub,
    },
  },
});
