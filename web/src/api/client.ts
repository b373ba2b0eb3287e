/** Talks to the portals' backend. The browser holds a cookie it cannot read and a CSRF token; never a token of a service. */

export type Portal = 'citizen' | 'personnel' | 'drift';

/** Why a request failed, as far as a page needs to know. */
export class Fault extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string | undefined;
  readonly eventId: string | undefined;
  readonly at: number;

  constructor(status: number, code: string, detail?: string, eventId?: string) {
    super(code);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.eventId = eventId;
    this.at = Date.now() * 1000;
  }
}

const TIMEOUT_MS = 30_000;

const csrfTokens = new Map<Portal, string>();
const expiryListeners = new Set<(portal: Portal) => void>();
const activityListeners = new Set<() => void>();

/** Keeps the token that unsafe requests of a portal carry. */
export function keepCsrf(portal: Portal, token: string | null): void {
  if (token) csrfTokens.set(portal, token);
  else csrfTokens.delete(portal);
}

/** Called when the hub says that the session of a portal is over. */
export function onExpired(listener: (portal: Portal) => void): () => void {
  expiryListeners.add(listener);
  return () => expiryListeners.delete(listener);
}

/** Called when the hub answered within a session: the idle time begins anew. */
export function onActivity(listener: () => void): () => void {
  activityListeners.add(listener);
  return () => activityListeners.delete(listener);
}

function portalOf(path: string): Portal | undefined {
  const word = /^\/api\/(citizen|personnel|drift)\//.exec(path)?.[1];
  return word as Portal | undefined;
}

interface Problem {
  code?: string;
  title?: string;
  detail?: string;
}

async function request(path: string, init: RequestInit): Promise<Response> {
  const portal = portalOf(path);
  const headers = new Headers(init.headers);
  headers.set('accept', 'application/json');
  const csrf = portal && csrfTokens.get(portal);
  if (csrf && init.method === 'POST') headers.set('x-csrf-token', csrf);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      headers,
      credentials: 'same-origin',
      signal: init.signal ? AbortSignal.any([init.signal, timeout]) : timeout,
    });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new Fault(0, timeout.aborted ? 'timeout' : 'offline');
  }
  if (response.ok) {
    activityListeners.forEach((listener) => listener());
    return response;
  }
  const problem = (await response.json().catch(() => ({}))) as Problem;
  const eventId = response.headers.get('x-event-id') ?? response.headers.get('x-request-id') ?? undefined;
  const fault = new Fault(response.status, problem.code ?? `http-${response.status}`, problem.detail ?? problem.title, eventId);
  if (response.status === 401 && portal && fault.code === 'unauthorized') expiryListeners.forEach((listener) => listener(portal));
  throw fault;
}

async function parse<T>(response: Response): Promise<T> {
  if (response.status === 204 || response.headers.get('content-length') === '0') return undefined as T;
  const type = response.headers.get('content-type') ?? '';
  if (!type.includes('json')) return undefined as T;
  return (await response.json()) as T;
}

/** Reads a view model. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return parse<T>(await request(path, { method: 'GET', ...(signal ? { signal } : {}) }));
}

/** Does something; ids of persons stand in the body, never in the path. */
export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  return parse<T>(await request(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }));
}

/** Sends bytes as they are. */
export async function postBytes<T>(path: string, bytes: Blob): Promise<T> {
  return parse<T>(await request(path, { method: 'POST', body: bytes, headers: { 'content-type': 'application/octet-stream' } }));
}
