import type { Text } from '../i18n/texts.tsx';

/**
 * View models of the operator's pages. Messages are as `crates/meldinger` (`view.rs`) writes them and the validator's report
 * as `crates/edi` (`report.rs`); the timeline and the health page are the contract with the hub's `Operations`.
 */

export interface PartyView {
  her_id: number;
  name: string | null;
}

export type StateCode =
  | 'queued'
  | 'collected'
  | 'acknowledged'
  | 'receipt_sealed'
  | 'accepted'
  | 'accepted_with_remarks'
  | 'rejected'
  | 'overdue'
  | 'failed'
  | 'done'
  | 'dropped';

export interface MessageState {
  code: StateCode;
  codes?: string[];
  condition?: string;
  reason?: string;
}

export type AlertCode = 'spoofing' | 'false_duplicate' | 'hostile_xml';

export type TransportCode = 'amqp' | 'ebxml' | 'rest' | 'hub';
export type RoadCode = 'bus' | 'mail' | 'hub' | 'api' | 'handler';

export interface MessageRow {
  id: string;
  transport?: TransportCode;
  received_at: string;
  subject: string;
  from: PartyView;
  to: PartyView;
  state: MessageState;
  receipt_until: string | null;
  waiting_hours: number | null;
  wait_level: 'waiting' | 'yellow' | 'red' | null;
  receipt_after_s: number | null;
  needs_human: boolean;
  alert: AlertCode | null;
}

/** `GET /api/drift/messages?state&function&her_id&before`. */
export interface MessagePage {
  rows: MessageRow[];
  /** Pass it as `before`. */
  next: string | null;
  summary?: Summary | null;
}

export interface Summary {
  by_state: Partial<Record<StateCode, number>>;
  needs_human: number;
  without_receipt: Record<string, number>;
  cut: boolean;
}

export interface Step {
  at: string;
  what: string;
  detail?: string;
  bytes?: number;
  condition?: string | null;
  queue?: string;
  attempt?: number;
  how?: string;
  failed?: boolean;
  reason?: string;
  status?: string;
  codes?: string[];
  hours?: number;
  same_content?: boolean;
  rule?: 'replaces' | 'repeats' | 'needs_new_id';
  of?: string;
  by?: string;
  text?: string;
}

export interface MessageDetail extends MessageRow {
  envelope: {
    transport?: TransportCode;
    road?: RoadCode;
    cpa_id?: string | null;
    schema?: string | null;
    system?: string | null;
    next_attempt_at?: string | null;
    queue: string;
    message_id: string;
    msg_id: string | null;
    conversation: string | null;
    content_type: string;
    bytes: number;
    sent_at: string;
    failed_deliveries: number;
  };
  steps: Step[];
  receipt: { kind: 'sealed' } | { kind: 'known'; status: string; codes: string[] } | null;
  ahead: number | null;
  related: { relation: 'copy' | 'receipt' | 'error' | 'about' | 'thread'; row: MessageRow }[];
  has_original: boolean;
  resend_rule: 'new_message_id_same_msg_id' | 'new_message_id_new_msg_id' | null;
  /** `POST /api/drift/messages/{id}/put-back` sends it once more, unchanged. */
  can_put_back?: boolean;
}

export interface PartySummary {
  organisation: string;
  her_id: number | null;
  unit: string | null;
  level2_her_id: number | null;
}

export interface Finding {
  severity: 'Error' | 'Warning' | 'Info' | 'error' | 'warning' | 'info';
  code: string | null;
  rule_id: string;
  rule: string;
  line: number;
  column: number;
  element: string;
  text_nb: string;
  text_en: string;
}

/** `POST /api/drift/validate` (bytes). */
export interface Report {
  valid: boolean;
  identified: {
    version: string | null;
    root_namespace: string;
    payload_namespace: string | null;
    document_type: string | null;
    processing_status: string | null;
  };
  what: Text;
  size_bytes: number;
  sender: PartySummary | null;
  receiver: PartySummary | null;
  copies: PartySummary[];
  gen_date: string | null;
  ack: string | null;
  answer: Text;
  findings: Finding[];
  passed: Text[];
  not_run: { what: Text; how: Text }[];
}

export type StoryKind = 'message' | 'look_up' | 'setting' | 'emergency' | 'appointment' | 'outside';
export type StoryState = 'done' | 'running' | 'waiting' | 'failed' | 'passed_over' | 'earlier';

export interface StoryStep {
  /** Name of the step, for `until`, such as `blokk.4`. */
  key: string;
  /** Story id of the person, such as `blokk`. */
  person: string;
  title: string;
  title_en: string;
  /** When it happens on the story's clock, RFC 3339. */
  when: string;
  kind: StoryKind;
  state: StoryState;
  /** What was seen when it was played. */
  observed: string | null;
  observed_en: string | null;
}

/** `GET /api/drift/timeline`, as `crates/actors` (`story.rs`) writes it. */
export interface Timeline {
  /** Now on the story's clock, RFC 3339. */
  now?: string;
  is_playing?: boolean;
  is_over?: boolean;
  is_starting?: boolean;
  steps: StoryStep[];
  /** Messages that are wrong on purpose, when the actors are there. */
  bad_cases?: BadCase[];
}

/** A message that is wrong on purpose, as `crates/actors` (`bad.rs`) writes it. */
export interface BadCase {
  id: string;
  wrong: string;
  wrong_en: string;
  /** In technical words, English. */
  expected: string;
  expected_nb: string;
  observed: string | null;
  observed_nb: string | null;
  as_expected: boolean | null;
  at: string | null;
}

/** `POST /api/drift/timeline/play`; `until` is a step, `end` or `again`. */
export interface Played {
  passed_over?: string[];
}

export interface QueueView {
  name: string;
  owner: PartyView;
  ready: number;
  in_hand: number;
  delayed: number;
  dead: number;
}

/** `GET /api/drift/health`, as `crates/hub` (`operations.rs`) writes it. `null`: could not be read. */
export interface Health {
  store: Record<string, number> | null;
  registers: { persons: number; personnel: number; organisations: number; parties: number } | null;
  queues: QueueView[] | null;
  certificates: { name: string; her_id: number; days_left: number; state: 'ok' | 'soon' | 'expired' | 'revoked' }[] | null;
  /** Authorities of other parties, with their revocation lists; times in seconds since 1970. */
  revocation: { authority: string; address: string; state: 'ok' | 'over' | 'missing'; revoked: number | null; next_s: number | null; why: string | null }[];
  /** Messages of the last fourteen days that have waited for a receipt for so many hours; `cut`: there are more. */
  receipts: { without_hours: Record<string, number>; cut: boolean } | null;
  /** Addresses the hub listens on, by their keys in the configuration. */
  listeners: { name: string; address: string; answers: boolean }[];
  /** Signed heads of the access log. */
  heads: { day: string; closed: boolean }[] | null;
}
