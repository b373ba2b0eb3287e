import { useCallback, useEffect, useRef, useState } from 'react';
import { Fault, get } from './client.ts';

/** A view model on its way, here, or not to be had. Kept while it is asked for again. */
export interface Load<T> {
  data: T | undefined;
  fault: Fault | undefined;
  isLoading: boolean;
  /** When it came, microseconds since 1970, real time. */
  at: number | undefined;
  reload: () => void;
  /** Replaces what is shown, with what an action answered. */
  set: (data: T) => void;
}

/** Loads `path` now and whenever it changes; `null` loads nothing. */
export function useLoad<T>(path: string | null): Load<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; fault?: Fault; at?: number; isLoading: boolean }>({
    path,
    isLoading: path !== null,
  });
  const [round, setRound] = useState(0);
  const current = useRef(path);
  current.current = path;

  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    setState((old) => (old.path === path ? { ...old, isLoading: true } : { path, isLoading: true }));
    get<T>(path, abort.signal).then(
      (data) => setState({ path, data, at: Date.now() * 1000, isLoading: false }),
      (cause: unknown) => {
        if (abort.signal.aborted) return;
        const fault = cause instanceof Fault ? cause : new Fault(0, 'unknown');
        setState((old) => ({ ...(old.path === path ? old : { path }), fault, isLoading: false }));
      },
    );
    return () => abort.abort();
  }, [path, round]);

  const reload = useCallback(() => setRound((n) => n + 1), []);
  const set = useCallback((data: T) => setState({ path: current.current, data, at: Date.now() * 1000, isLoading: false }), []);
  const isOwn = state.path === path;
  return {
    data: isOwn ? state.data : undefined,
    fault: isOwn ? state.fault : undefined,
    isLoading: isOwn ? state.isLoading : path !== null,
    at: isOwn ? state.at : undefined,
    reload,
    set,
  };
}
