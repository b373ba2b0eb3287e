/** View models of `/drift/api`, as crates/helseid/src/registry/apis.rs writes them. */
import type { Named } from './clients.ts';

export interface ApiRow {
  audience: string;
  /** `null`: the operator. */
  owner: Named | null;
  is_automatic: boolean;
  may_decide: boolean;
  /** `null` for those who do not decide. */
  users: number | null;
  waiting: number | null;
  terms: 'none' | 'open' | 'accepted' | 'changed';
}

export interface ScopeUser {
  client_id: string;
  client: string;
  organisation: Named;
  is_multi: boolean;
  /** In use, with a valid key. */
  is_usable: boolean;
  state: 'requested' | 'approved' | 'rejected';
  reason: string | null;
  since: string | null;
  is_configured: boolean;
}

export interface ApiDetail extends ApiRow {
  scopes: { scope: string; clients: ScopeUser[] }[];
  /** Claims that its tokens carry besides those every token has. */
  claims: string[];
  terms_of_use: { text: string; version: number; since: string } | null;
  acceptances: { organisation: Named; accepted: string; is_current: boolean }[];
  may_set_owner: boolean;
  may_accept: boolean;
}

/** Address of an API's view model, or of something to do with it. */
export function apiPath(audience: string, what = ''): string {
  return `/api/drift/api/${encodeURIComponent(audience)}${what}`;
}

/** Address of an API's page. */
export function apiPage(audience: string): string {
  return `/drift/api/${encodeURIComponent(audience)}`;
}
