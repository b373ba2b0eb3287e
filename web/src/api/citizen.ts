import type { SourceState } from '../parts/source.tsx';
import type { FlagCode } from '../parts/state.tsx';

/** View models of the citizen's pages, as `crates/{provesvar,dokumenter,helsenorge}` write them. Times in microseconds. */

/** A part of the front page with its own state. */
export type SectionOf<T> = { state: 'ok'; content: T } | { state: 'error'; code: string };

export interface Overview {
  name: string | null;
  gp: { name: string; office: string | null } | null;
  results: SectionOf<ResultsView>;
  letters: SectionOf<LettersView>;
  notices: SectionOf<Notice[]>;
  log: SectionOf<LogView>;
  critical?: SectionOf<CriticalPanel>;
}

export interface CriticalPanel {
  state: SourceState;
  asked_at: number;
  items: CriticalItem[];
}

export interface CriticalItem {
  id: string;
  category: string;
  is_life_threatening: boolean;
  text: string;
  reaction: string | null;
  verification: string | null;
  is_self_registered: boolean;
  recorded: string | null;
  recorder: string | null;
  note: string | null;
}

export interface ReportLine {
  id: string;
  time: string | null;
  issued: string | null;
  laboratory: string | null;
  amended_at: string | null;
  is_cancelled: boolean;
  discipline: string | null;
  analyses: number;
  outside: number;
  stored_at: number;
}

export interface ResultsView {
  state: SourceState;
  reports: ReportLine[];
}

export interface Analysis {
  id: string;
  name: string;
  name_en: string | null;
  code: string | null;
  successor: string | null;
  value: string;
  unit: string | null;
  range: string | null;
  flag: FlagCode;
  comment: string | null;
  explanation: string | null;
  explanation_en: string | null;
  status: string;
}

export interface ReportView extends ReportLine {
  results: Analysis[];
  comment: string | null;
}

export interface LetterLine {
  id: string;
  kind: string | null;
  title: string | null;
  from: string | null;
  date: string | null;
  is_amended: boolean;
  is_cancelled: boolean;
  stored_at: number;
}

export interface LettersView {
  state: SourceState;
  letters: LetterLine[];
}

export type SectionKey = 'happened' | 'found' | 'next' | 'medicines' | 'contact';

export interface LetterView extends LetterLine {
  author: string | null;
  period: [string | null, string | null] | null;
  sections: { key: SectionKey; pieces: { heading: string | null; text: string[] }[] }[];
  sha256: string | null;
  size_bytes: number | null;
}

export type NoticeKind =
  | 'blocked'
  | 'block-lifted'
  | 'restricted'
  | 'restriction-lifted'
  | 'reserved'
  | 'reservation-lifted'
  | 'elevated-access'
  | 'referral';

export interface Notice {
  kind: NoticeKind;
  what: string | null;
  at: number;
}

export interface LogLine {
  id: string;
  occurred_at: number;
  recorded_at: number;
  imported: boolean;
  actor_kind: 'personnel' | 'self' | 'representative' | 'system' | 'operator' | 'anonymous';
  name: string | null;
  name_shown_from: string | null;
  is_blocked_person: boolean;
  role: string | null;
  organisation: string | null;
  department: string | null;
  basis: string;
  service: string;
  api: string;
  parts: string[];
  controller: string;
  action: string;
  denied: string | null;
  event_id: string | null;
  sealed: boolean;
}

export type Reason =
  | 'yourself'
  | 'representative'
  | 'consent'
  | 'emergency'
  | 'exception'
  | 'opened_with_consent'
  | 'opened_in_emergency'
  | 'automatic'
  | 'unknown';

export interface Visit {
  head: LogLine;
  reason: Reason;
  parts: string[];
  is_denied: boolean;
  count: number;
  can_block: boolean;
  lines: LogLine[];
}

/** Look-ups in the base registers: counted, not listed. */
export interface RegisterLooks {
  counted_until: number | null;
  months: readonly CountedMonth[];
}

export interface CountedMonth {
  /** `YYYY-MM`. */
  month: string;
  organisations: readonly { name: string | null; count: number }[];
}

export interface LogView {
  visits: Visit[];
  next_before: number | null;
}

export interface BlockedPerson {
  hpr: string;
  name: string | null;
  organisation: string | null;
  role: string | null;
  since: number;
}

export interface Change {
  at: number;
  kind: 'block' | 'restrict' | 'restrict_all' | 'reserve' | 'visits_off' | 'self_off' | 'fast_results';
  what: string | null;
  controller: string;
  is_on: boolean;
  by: string;
}

export interface AccessView {
  blocked: BlockedPerson[];
  is_restricted_wholly: boolean;
  parts: Record<string, boolean>;
  is_reserved_kj: boolean;
  is_reserved_results: boolean;
  changes: Change[];
}

export interface PractitionerHit {
  hpr: string;
  name: string;
  role: string | null;
  organisation: string | null;
}

/** Whom to block: somebody found by name, or whoever stands in a line of the log, named or not. */
export type Whom = { hpr: string } | { log_line: string };
