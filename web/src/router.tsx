import { useEffect, useSyncExternalStore } from 'react';

/** A router of the size that thirteen pages need: paths, parameters, and ordinary links that do not reload. */

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('popstate', listener);
  };
}

let hasNavigated = false;

/** Whether a page was changed to: the first page of a visit does not take the focus. */
export function isFirstPage(): boolean {
  return !hasNavigated;
}

/** Goes to a path of our own. */
export function navigate(to: string, options: { replace?: boolean } = {}): void {
  hasNavigated = true;
  if (options.replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  if (!options.replace) window.scrollTo(0, 0);
  listeners.forEach((listener) => listener());
}

/** Changes the query without leaving the page: filters stand in the address. */
export function setQuery(params: Record<string, string | undefined>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(params)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
  listeners.forEach((listener) => listener());
}

/** The path of the page. */
export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

/** The query of the page. */
export function useQuery(): URLSearchParams {
  return new URLSearchParams(useSyncExternalStore(subscribe, () => location.search));
}

/** Parameters of `pattern` (`/brev/:id`) in `path`; `undefined` when it does not match. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const parts = path.replace(/(.)\/+$/, '$1').split('/');
  if (wanted.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, want] of wanted.entries()) {
    const part = parts[i] ?? '';
    if (want.startsWith(':') && part) params[want.slice(1)] = part;
    else if (want !== part) return undefined;
  }
  return params;
}

/** Pages of the hub that are not ours: the server answers them. */
const SERVED = /^\/(api|logginn|assets|helsepersonell\/(logginn|callback)|drift\/logginn|health|metrics|log|fhir|docs)(\/|$|\?)/;

/** Ordinary `<a href>` within our pages are followed without a reload. */
export function useLinks(): void {
  useEffect(() => {
    const follow = (event: MouseEvent) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element | null)?.closest?.('a');
      if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
      const raw = link.getAttribute('href') ?? '';
      if (raw.startsWith('#') || SERVED.test(link.pathname)) return;
      event.preventDefault();
      navigate(link.pathname + link.search);
    };
    const back = () => {
      hasNavigated = true;
    };
    document.addEventListener('click', follow);
    window.addEventListener('popstate', back);
    return () => {
      document.removeEventListener('click', follow);
      window.removeEventListener('popstate', back);
    };
  }, []);
}
