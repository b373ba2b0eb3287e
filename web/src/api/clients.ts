/** View models of `/drift/klienter`, as crates/helseid/src/registry/view.rs writes them. */

export interface Named {
  orgnr: string;
  name: string;
}

export type ClientState = 'draft' | 'active' | 'keyless' | 'blocked' | 'configured';

export interface ClientRow {
  client_id: string;
  name: string;
  organisation: Named;
  /** Absent for clients of the configuration file. */
  system: string | null;
  state: ClientState;
  keys: number;
  keys_until: string | null;
  /** `not_needed`: an app of citizens, whose installations show certificates. */
  keys_state: 'ok' | 'ends_soon' | 'none' | 'not_needed';
  /** Approved, asked for, refused. */
  scopes: [number, number, number];
}

export interface WaitingDecision {
  client_id: string;
  client: string;
  organisation: Named;
  /** A scope, or the type of an API-specific claim. */
  subject: string;
  audience: string;
  value: string | null;
  since: string;
}

/** Whom the clients of a system log in; citizens have an issuer of their own. */
export type Users = 'personnel' | 'citizens' | 'citizens-app';

export interface ClientSystem {
  id: string;
  name: string;
  supplier: Named;
  users: Users;
  tenancy: 'single' | 'multi';
  user_login: boolean;
  machine: boolean;
  refresh: boolean;
  native: boolean;
  rules: 'strict' | 'compatible' | null;
  has_api_key: boolean;
  fixes_redirect_uris: boolean;
  is_own: boolean;
}

export interface Delegation {
  organisation: Named;
  supplier: Named;
  since: string;
  is_own: boolean;
}

export interface ClientsOverview {
  clients: ClientRow[];
  waiting: WaitingDecision[];
  systems: ClientSystem[];
  delegations: Delegation[];
  is_cut: boolean;
  /** Organisation number of a party; `null` for an operator. */
  own_orgnr: string | null;
}

export interface ClientKey {
  kid: string | null;
  thumbprint: string;
  kind: string;
  alg: string | null;
  origin: 'Api' | 'Gui';
  created: string;
  expires: string;
  state: 'ok' | 'ends_soon' | 'expired';
}

export interface ClientScope {
  scope: string;
  /** Absent for scopes about the user. */
  audience: string | null;
  owner: Named | null;
  state: 'requested' | 'approved' | 'rejected';
  reason: string | null;
  requested: string;
  decided: string | null;
  may_decide: boolean;
}

export interface ClientClaim {
  claim_type: string;
  active?: string;
  pending?: string;
  may_decide: boolean;
}

export interface ClientDetail extends ClientRow {
  about: ClientSystem | null;
  issuer: string | null;
  tenancy: 'single-tenant' | 'multi-tenant' | 'none' | 'citizens';
  children: Named[];
  delegations: Named[];
  key_list: ClientKey[];
  scope_list: ClientScope[];
  claims: ClientClaim[];
  redirect_uris: string[];
  post_logout_redirect_uris: string[];
  offered_scopes: string[];
  created: string | null;
  may_change: boolean;
  may_confirm: boolean;
  may_block: boolean;
}

const BASE = '/api/drift/clients';

/** Address of a client's view model, or of something to do with it. */
export function clientPath(clientId: string, what = ''): string {
  return `${BASE}/${encodeURIComponent(clientId)}${what}`;
}

/** Address of a client's page. */
export function clientPage(clientId: string): string {
  return `/drift/klienter/${encodeURIComponent(clientId)}`;
}
