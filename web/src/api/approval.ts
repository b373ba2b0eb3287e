/** View models of `/drift/samsvar`, as crates/meldinger (`approval/report.rs`) writes them. */

export type Direction = 'receive' | 'send';
export type Transport = 'amqp' | 'ebxml' | 'rest';
export type RunStatus = 'testing' | 'ok';
export type CriterionState = 'passed' | 'failed' | 'waiting';

export interface ApprovalSystem {
  id: string;
  organisation_name: string;
  her_id: number;
  name: string;
  version: string;
  msh_name: string;
  msh_version: string;
}

export interface RunLine {
  id: string;
  system: ApprovalSystem;
  standard: string;
  standard_name: string;
  direction: Direction;
  transport: Transport;
  status: RunStatus;
  started_at_us: number;
  finished_at_us: number | null;
  all: number;
  met: number;
  not_met: number;
}

export interface ApprovedLine {
  system: string;
  version: string;
  msh: string;
  vendor: string;
  standard: string;
  direction: Direction;
  transport: Transport;
  approved_at_us: number;
}

/** `GET /api/drift/approvals`. */
export interface ApprovalOverview {
  systems: ApprovalSystem[];
  runs: RunLine[];
  approved: ApprovedLine[];
  parties: { her_id: number; name: string; is_organisation: boolean }[];
  standards: { code: string; name: string; functions: string[] }[];
  test_party: number;
}

export interface ApprovalFinding {
  criterion: string;
  rule: string;
  line: number;
  column: number;
  element?: string;
  nb: string;
  en: string;
}

export interface Criterion {
  id: string;
  family: 'transport' | 'xml' | 'apprec' | 'patient' | 'corrections' | 'addressing' | 'presentation' | 'log' | 'attachments';
  rule: string;
  words: Readonly<Record<'nb' | 'nn' | 'en' | 'se', string>>;
  state: CriterionState;
  self_declared: boolean;
  declared?: { answer: boolean; remark: string; at_us: number };
  case?: string;
  findings: ApprovalFinding[];
}

export interface CaseLine {
  case: string;
  attempts: number;
  msg_id: string;
  sent_at_us: number;
  tracks: string[];
  fetched: boolean;
  conditions: string[];
  receipts: { track: string; at_us: number; status: string | null; codes: string[] }[];
}

/** `GET /api/drift/approvals/runs/{id}`. */
export interface ApprovalReport extends RunLine {
  test_party: number;
  passed: boolean;
  criteria: Criterion[];
  cases: CaseLine[];
  messages: { track: string; at_us: number; msg_id: string; function: string; cases: string[]; findings: ApprovalFinding[] }[];
  strays: number;
  patients: { nin: string; kind: string; name: string; born: string; sex: string }[];
}

/** Where all of it is asked for. */
export const APPROVALS = '/api/drift/approvals';

/** The page of a run. */
export function runPage(id: string): string {
  return `/drift/samsvar/${encodeURIComponent(id)}`;
}
