/** View models of `/drift/parter`, as crates/hub (`parties.rs`) writes them. Times are microseconds since 1970. */

export type PartyKind = 'Organization' | 'Service' | 'Person';
export type CertificateState = 'ok' | 'soon' | 'late' | 'expired' | 'revoked';

export interface PartyRow {
  her_id: number;
  name: string;
  kind: PartyKind;
  orgnr: string;
  service: string | null;
  parent: { her_id: number; name: string } | null;
  is_valid: boolean;
  certificate: CertificateState | null;
}

export interface PartyFacet {
  name: 'Type' | 'BusinessTypeCode' | 'MunicipalityCode';
  entries: { value: string; text: string; hits: number }[];
}

/** `GET /api/drift/parties?text&kind&business_type&municipality&page`. */
export interface PartyPage {
  total: number;
  page: number;
  pages: number;
  rows: PartyRow[];
  facets: PartyFacet[];
}

/** `GET /api/drift/parties/{her_id}`. */
export interface PartyDetails {
  row: PartyRow;
  business_type: string | null;
  municipality: string | null;
  hpr: string | null;
  description: string | null;
  location: string | null;
  valid_from: number;
  valid_to: number | null;
  electronic: { code: string; address: string; inherited: boolean }[];
  physical: { kind: string; street: string | null; postbox: string | null; postcode: string | null; city: string | null; inherited: boolean }[];
  certificates: {
    purpose: 'encryption' | 'signing';
    name: string;
    serial: string;
    thumbprint: string;
    valid_from: number;
    valid_to: number;
    state: CertificateState;
    in_use: boolean;
    inherited: boolean;
  }[];
  place: { latitude: number; longitude: number } | null;
  tree: { top: PartyRow; below: PartyRow[]; persons: number; services: number };
  changes: { version: number; at: number; by: string | null }[];
}

/** `GET /api/drift/parties/map`. */
export interface PartyMap {
  municipalities: {
    number: string;
    name: string;
    county: string | null;
    organisations: number;
    latitude: number | null;
    longitude: number | null;
  }[];
  without_municipality: number;
}

export const PARTIES = '/drift/parter';

/** Page of a party. */
export function partyPage(herId: number): string {
  return `${PARTIES}/${herId}`;
}

/** Page of the map. */
export const PARTY_MAP = `${PARTIES}/kart`;
