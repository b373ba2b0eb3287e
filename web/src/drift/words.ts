import type { MessageRow, MessageState, StateCode, Step } from '../api/drift.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { condition, errorCodes } from '../i18n/words.ts';
import type { Tone } from '../parts/state.tsx';

/** States in the order of the filter. */
export const STATES: readonly StateCode[] = [
  'queued',
  'collected',
  'acknowledged',
  'receipt_sealed',
  'accepted',
  'accepted_with_remarks',
  'rejected',
  'overdue',
  'failed',
  'done',
  'dropped',
];

/** One sentence about where a message is now; never better than what the hub knows. */
export function useStateText(): (row: MessageRow, ahead?: number | null) => string {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  const reason = (state: MessageState) =>
    state.codes ? errorCodes(state.codes, language) : condition(state.condition ?? state.reason ?? '', language);
  return (row, ahead) => {
    const { state } = row;
    switch (state.code) {
      case 'queued':
        return ahead ? t('state.queued.ahead', { n: ahead }) : t('state.queued');
      case 'collected':
        if ((row.waiting_hours ?? 0) >= 24) return t('state.noReceiptYet', { n: row.waiting_hours ?? 0 });
        return row.receipt_until ? t('state.collected.until', { time: format.shortDateTime(row.receipt_until) }) : t('state.collected');
      case 'acknowledged':
        if ((row.waiting_hours ?? 0) >= 24) return t('state.noReceiptYet', { n: row.waiting_hours ?? 0 });
        return t('state.acknowledged');
      case 'overdue':
        return t('state.overdue', { n: row.waiting_hours ?? 96 });
      case 'accepted': {
        const after = row.receipt_after_s;
        return after !== null && after < 3_600 ? `${t('state.accepted')} ${after < 1 ? t('state.after.moment') : t('state.after', { n: after })}` : t('state.accepted');
      }
      case 'accepted_with_remarks':
      case 'rejected':
      case 'failed':
        return t(`state.${state.code}`, { reason: reason(state) });
      case 'dropped':
        return t('state.dropped', { reason: state.reason === 'duplicate' ? t('drop.duplicate') : state.reason === 'resent' ? t('drop.resent') : (state.reason ?? '') });
      case 'receipt_sealed':
      case 'done':
        return t(`state.${state.code}`);
    }
  };
}

/** The sign of a state. */
export function toneOf(row: MessageRow): Tone {
  if (row.alert) return 'bad';
  switch (row.state.code) {
    case 'accepted':
    case 'done':
      return 'good';
    case 'rejected':
    case 'failed':
    case 'overdue':
      return 'bad';
    case 'accepted_with_remarks':
      return 'watch';
    case 'queued':
    case 'collected':
    case 'acknowledged':
      return row.wait_level === 'yellow' || row.wait_level === 'red' ? 'watch' : 'wait';
    case 'receipt_sealed':
    case 'dropped':
      return 'quiet';
  }
}

/** A step in words: what, and with which detail. */
export function useStepText(): (step: Step) => { title: string; detail: string; tone: Tone } {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  return (step) => {
    const details: string[] = [];
    if (step.bytes !== undefined) details.push(t('envelope.bytes.n', { n: format.count(step.bytes) }));
    if (step.queue) details.push(step.queue);
    if (step.condition) details.push(condition(step.condition, language));
    if (step.status) details.push(`AppRec ${step.status}`);
    if (step.codes?.length) details.push(errorCodes(step.codes, language));
    if (step.reason) details.push(step.reason);
    if (step.text) details.push(step.text);
    if (step.detail) details.push(step.detail);
    return { title: title(step, t), detail: details.join(' · '), tone: toneOfStep(step) };
  };
}

function title(step: Step, t: ReturnType<typeof useTexts<typeof drift>>): string {
  switch (step.what) {
    case 'delivered':
      return (step.attempt ?? 1) > 1 ? t('step.delivered.again', { n: step.attempt ?? 1 }) : t('step.delivered');
    case 'no_receipt':
      return t('step.no_receipt', { n: step.hours ?? 0 });
    case 'sent':
      return (step.attempt ?? 1) > 1 ? t('step.sent.again', { n: step.attempt ?? 1 }) : t('step.sent');
    case 'resend':
      return step.rule ? t(`step.resend.${step.rule}`) : step.what;
    case 'acknowledged':
    case 'transport_refused':
    case 'given_up':
    case 'replaced':
    case 'received':
    case 'checked':
    case 'refused':
    case 'queued':
    case 'settled':
    case 'given_back':
    case 'rejected_by_receiver':
    case 'dead_letter':
    case 'revived':
    case 'opened':
    case 'handled':
    case 'receipt_arrived':
    case 'receipt_fetched':
    case 'receipt_sent':
    case 'error_arrived':
    case 'duplicate':
    case 'note':
      return t(`step.${step.what}`);
    default:
      return step.what;
  }
}

function toneOfStep(step: Step): Tone {
  switch (step.what) {
    case 'refused':
    case 'rejected_by_receiver':
    case 'dead_letter':
    case 'error_arrived':
      return 'bad';
    case 'receipt_sent':
      return step.status === '2' ? 'bad' : step.status === '3' ? 'watch' : 'good';
    case 'given_back':
    case 'no_receipt':
    case 'duplicate':
      return 'watch';
    case 'note':
      return 'quiet';
    default:
      return 'good';
  }
}
