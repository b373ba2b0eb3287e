import { Component, Suspense, lazy, type ReactNode } from 'react';
import type { Portal } from './api/client.ts';
import { SessionProvider } from './api/session.tsx';
import { shell } from './i18n/shell.ts';
import { LanguageProvider, useTexts } from './i18n/texts.tsx';
import { Trouble, Waiting } from './parts/source.tsx';
import { useLinks, usePath } from './router.tsx';

// Each portal is a bundle of its own: a citizen never loads the operator's pages.
const Citizen = lazy(() => import('./citizen/index.tsx'));
const Personnel = lazy(() => import('./personnel/index.tsx'));
const Drift = lazy(() => import('./drift/index.tsx'));

function portalOf(path: string): Portal {
  if (/^\/helsepersonell(\/|$)/.test(path)) return 'personnel';
  if (/^\/drift(\/|$)/.test(path)) return 'drift';
  return 'citizen';
}

/** The three portals under one roof. */
export function App() {
  return (
    <LanguageProvider>
      <Safe>
        <Portals />
      </Safe>
    </LanguageProvider>
  );
}

function Portals() {
  useLinks();
  const portal = portalOf(usePath());
  const Pages = { citizen: Citizen, personnel: Personnel, drift: Drift }[portal];
  return (
    <SessionProvider key={portal} portal={portal}>
      <Suspense fallback={<Waiting />}>
        <Pages />
      </Suspense>
    </SessionProvider>
  );
}

/** A fault of our own: said, with a way out, instead of an empty page. */
class Safe extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    return this.state.hasFailed ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const t = useTexts(shell);
  return (
    <main className="page">
      <Trouble text={t('fault.other')} onRetry={() => location.reload()} />
    </main>
  );
}
