import type { Text } from '../i18n/texts.tsx';
import type { PartyView } from './drift.ts';

/** View models of `/drift/teller`, as crates/meldinger (`counter/query.rs`) writes them. */

export interface Counts {
  messages?: number;
  bytes?: number;
  duplicates?: number;
  delivered?: number;
  acknowledged?: number;
  transport_refused?: number;
  receipts_ok?: number;
  receipts_in_part?: number;
  receipts_rejected?: number;
  receipts_sealed?: number;
  overdue?: number;
  refused?: number;
  undeliverable?: number;
}

export interface CountRow extends Counts {
  /** Code, namespace or name; empty: uncategorised, or not said. */
  key: string;
  party?: PartyView;
  /** What the namespace is and how its version stands. */
  schema?: Text & { version: string | null; standing: 'current' | 'older' | 'too_old' | 'coming' | 'not_listed' };
  /** Norwegian name of a place or type of organisation. */
  name?: string;
  errors: number;
}

export interface CountPoint {
  /** `yyyy-mm-ddThh`, `yyyy-mm-dd` or `yyyy-mm`. */
  at: string;
  messages: number;
  errors: number;
}

/** `GET /api/drift/counts?from&to&her_id&function&transport`. */
export interface CountReport {
  from: string;
  to: string;
  bucket: 'hour' | 'day' | 'month';
  totals: Counts;
  errors: number;
  before: Counts;
  errors_before: number;
  series: CountPoint[];
  by_function: CountRow[];
  by_version: CountRow[];
  by_transport: CountRow[];
  by_system: CountRow[];
  by_sender: CountRow[];
  by_receiver: CountRow[];
  /** By where the sending organisation is and what it is; an empty key: the register does not say. */
  by_region: CountRow[];
  by_municipality: CountRow[];
  by_kind: CountRow[];
  conditions: Record<string, number>;
  cut: boolean;
}
