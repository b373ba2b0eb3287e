import type { SourceState } from '../parts/source.tsx';
import type { CriticalPanel } from './citizen.ts';

/** View models of the personnel's pages, as `crates/kjernejournal` writes them. Times in microseconds. */

export interface Hit {
  nin: string;
  name: string;
  born: string | null;
  municipality: string | null;
  is_protected: boolean;
}

export interface PatientHeader {
  nin: string;
  name: string;
  born: string | null;
  age: number | null;
  sex: 'female' | 'male';
  gp: string | null;
  is_protected: boolean;
  died: string | null;
}

export interface Choice {
  patient: PatientHeader;
  exception: boolean;
  is_gp: boolean;
  is_own_record: boolean;
}

export type BasisCode = 'SAMTYKKE' | 'AKUTT' | 'UNNTAK' | 'FORHOYET_SAMTYKKE' | 'FORHOYET_AKUTT';

export interface ResultRow {
  id: string;
  name: string;
  code: string | null;
  value: string;
  unit: string | null;
  range: string | null;
  flag: string | null;
  time: string | null;
  performer: string | null;
  is_amended: boolean;
  hidden_until: number | null;
}

export interface DocumentRow {
  id: string;
  kind: string;
  title: string | null;
  date: string | null;
  author: string | null;
}

export interface Panel<Row> {
  state: SourceState;
  part: string;
  asked_at: number;
  is_opened: boolean;
  rows: Row[];
  has_more: boolean;
}

export interface SummaryView {
  patient: PatientHeader;
  basis: BasisCode;
  opened_at: number;
  critical: CriticalPanel;
  critical_is_closed: boolean;
  results: Panel<ResultRow>;
  documents: Panel<DocumentRow>;
  answered: [number, number];
}

export type Refusal = 'blocked' | 'no_record' | 'restricted' | 'own_record' | 'basis' | 'not_needed' | 'role' | 'no_access';

export type Opened = ({ outcome: 'summary' } & SummaryView) | { outcome: 'refused'; why: Refusal };
