import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Fault, get, keepCsrf, onExpired, post, type Portal } from './client.ts';

/** What the shell knows of the session (`GET /api/session/{portal}`). */
export interface SessionView {
  kind: 'citizen' | 'personnel' | 'party' | 'operator' | null;
  name: string | null;
  role: string | null;
  organisation: string | null;
  department: string | null;
  csrf: string | null;
  is_demo: boolean;
  /** Now on the story's clock, RFC 3339. */
  now: string;
}

interface SessionState {
  portal: Portal;
  view: SessionView | undefined;
  fault: Fault | undefined;
  /** The session ended while the page was open. */
  hasExpired: boolean;
  reload: () => Promise<void>;
  logOut: () => Promise<void>;
  /** Marks the session as over, as after 30 minutes without a request. */
  expire: () => void;
}

const Context = createContext<SessionState | null>(null);

/** Holds the session of one portal: each has its own, also for the same person. */
export function SessionProvider({ portal, children }: { portal: Portal; children: ReactNode }) {
  const [view, setView] = useState<SessionView>();
  const [fault, setFault] = useState<Fault>();
  const [hasExpired, setExpired] = useState(false);

  const reload = useCallback(async () => {
    try {
      const next = await get<SessionView>(`/api/session/${portal}`);
      keepCsrf(portal, next.csrf);
      setView(next);
      setFault(undefined);
      if (next.kind) setExpired(false);
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    }
  }, [portal]);

  const expire = useCallback(() => {
    keepCsrf(portal, null);
    setExpired(true);
    setView((old) => (old ? { ...old, kind: null, name: null, csrf: null } : old));
  }, [portal]);

  const logOut = useCallback(async () => {
    await post(`/api/logout/${portal}`);
    keepCsrf(portal, null);
    await reload();
  }, [portal, reload]);

  useEffect(() => {
    setView(undefined);
    setExpired(false);
    void reload();
  }, [reload]);
  useEffect(() => onExpired((which) => which === portal && expire()), [portal, expire]);

  const state = useMemo(
    () => ({ portal, view, fault, hasExpired, reload, logOut, expire }),
    [portal, view, fault, hasExpired, reload, logOut, expire],
  );
  return <Context value={state}>{children}</Context>;
}

/** The session of the portal around. */
export function useSession(): SessionState {
  const state = useContext(Context);
  if (!state) throw new Error('useSession outside of SessionProvider');
  return state;
}

/** Now on the story's clock, microseconds since 1970. */
export function useNow(): number {
  const { view } = useSession();
  return useMemo(() => (view ? new Date(view.now).getTime() : Date.now()) * 1000, [view]);
}
