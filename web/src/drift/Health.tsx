import Button from '@helsenorge/designsystem-react/components/Button';
import { useMemo, type ReactNode } from 'react';
import type { Health } from '../api/drift.ts';
import { useLoad } from '../api/load.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Facts } from '../parts/facts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';

type RowState = 'ok' | 'watch' | 'fault';
const TONES: Record<RowState, Tone> = { ok: 'good', watch: 'watch', fault: 'bad' };
const GROUPS = ['queues', 'receipts', 'listeners', 'certificates', 'revocation', 'log', 'registers', 'store'] as const;
type Group = (typeof GROUPS)[number];

/** Waiting this long for a receipt is remarked on; this long is too long (spec/messaging.md §9). */
const RECEIPT_HOURS = [24, 48, 96] as const;
const OVERDUE_HOURS = 96;

interface Row {
  group: Group;
  name: string;
  state: RowState;
  value: string;
  limit?: string;
  advice?: ReactNode;
}

/** The state of everything: one sentence, then the rows by group. Every row has a word and a number. */
export function HealthPage() {
  const t = useTexts(drift);
  const load = useLoad<Health>('/api/drift/health');
  return (
    <Page
      isWide
      title={t('health.title')}
      actions={
        <Button variant="outline" onClick={load.reload}>
          {t('health.refresh')}
        </Button>
      }
    >
      <Loaded load={load} waiting={t('health.loading')}>
        {(health) => <Overview health={health} at={load.at ?? 0} />}
      </Loaded>
    </Page>
  );
}

function Overview({ health, at }: { health: Health; at: number }) {
  const t = useTexts(drift);
  const format = useFormat();
  const rows = useRows(health);
  const bad = rows.filter((row) => row.state !== 'ok');
  const worst: Tone = bad.some((row) => row.state === 'fault') ? 'bad' : bad.length > 0 ? 'watch' : 'good';
  const sentence = bad.length === 0 ? t('health.ok') : bad.length === 1 ? t('health.watch.one') : t('health.watch.many', { n: bad.length });
  return (
    <>
      <p className="lead" role="status">
        <State tone={worst}>{sentence}</State> <span className="muted">{t('health.at', { time: format.time(at) })}</span>
      </p>
      {GROUPS.map((group) => {
        const own = rows.filter((row) => row.group === group);
        return own.length > 0 && <GroupTable key={group} group={group} rows={own} />;
      })}
      {health.store && <Counters counters={health.store} />}
    </>
  );
}

/** What the hub measured, as rows; what could not be read is a row that says so. */
function useRows(health: Health): Row[] {
  const t = useTexts(drift);
  const format = useFormat();
  return useMemo(() => {
    const unknown = (group: Group): Row => ({ group, name: t(`health.group.${group}`), state: 'fault', value: t('health.unknown') });
    const rows: Row[] = [];
    if (health.queues === null) rows.push(unknown('queues'));
    else if (health.queues.length === 0) rows.push({ group: 'queues', name: t('health.queue.none'), state: 'ok', value: '0' });
    for (const queue of health.queues ?? []) {
      const { ready, dead, in_hand: inHand } = queue;
      rows.push({
        group: 'queues',
        name: queue.owner.name ? `${queue.name} (${queue.owner.name})` : queue.name,
        state: dead > 0 ? 'watch' : 'ok',
        value: dead > 0 ? t('health.queue.dead', { dead, ready }) : t('health.queue', { ready, inHand }),
        ...(dead > 0 ? { advice: <a href="/drift/meldinger?tilstand=failed">{t('health.queue.advice')}</a> } : {}),
      });
    }
    if (health.receipts === null) rows.push(unknown('receipts'));
    for (const hours of health.receipts ? RECEIPT_HOURS : []) {
      const n = health.receipts?.without_hours[hours] ?? 0;
      rows.push({
        group: 'receipts',
        name: t('health.receipts.over', { hours }),
        state: n === 0 ? 'ok' : hours === OVERDUE_HOURS ? 'fault' : 'watch',
        value: health.receipts?.cut ? t('health.receipts.atleast', { n: format.count(n) }) : format.count(n),
        limit: '0',
        ...(n > 0 ? { advice: <a href="/drift/meldinger">{t('health.receipts.advice')}</a> } : {}),
      });
    }
    for (const listener of health.listeners) {
      rows.push({
        group: 'listeners',
        name: t(`health.listener.${listener.name}` as 'health.listener.listen'),
        state: listener.answers ? 'ok' : 'fault',
        value: listener.address,
        ...(listener.answers ? {} : { advice: t('health.listener.advice') }),
      });
    }
    if (health.certificates === null) rows.push(unknown('certificates'));
    for (const certificate of health.certificates ?? []) {
      const isGood = certificate.state === 'ok';
      rows.push({
        group: 'certificates',
        name: `${certificate.name} (${certificate.her_id})`,
        state: isGood ? 'ok' : certificate.state === 'soon' ? 'watch' : 'fault',
        value: certificate.state === 'revoked' ? t('health.certificate.revoked') : certificate.days_left < 0 ? t('health.certificate.expired') : t('health.certificate.days', { n: format.count(certificate.days_left) }),
        limit: t('health.certificate.limit'),
        ...(isGood ? {} : { advice: t('health.certificate.advice') }),
      });
    }
    for (const list of health.revocation) {
      const until = list.next_s === null ? '' : ` ${t('health.revocation.until', { time: format.dateTime(list.next_s * 1_000_000) })}`;
      const isGood = list.state === 'ok';
      rows.push({
        group: 'revocation',
        name: list.authority,
        state: isGood ? (list.why === null ? 'ok' : 'watch') : 'fault',
        value: isGood ? t('health.revocation.ok', { n: format.count(list.revoked ?? 0) }) + until : t(list.state === 'over' ? 'health.revocation.over' : 'health.revocation.missing'),
        ...(isGood && list.why === null ? {} : { advice: t('health.revocation.advice', { address: list.address }) }),
      });
    }
    if (health.heads === null) rows.push(unknown('log'));
    else if (health.heads.length === 0) rows.push({ group: 'log', name: t('health.group.log'), state: 'ok', value: t('health.log.none') });
    for (const head of health.heads ?? []) {
      rows.push({
        group: 'log',
        name: t('health.log.day', { day: format.date(head.day) }),
        state: 'ok',
        value: t(head.closed ? 'health.log.closed' : 'health.log.open'),
      });
    }
    if (health.registers === null) rows.push(unknown('registers'));
    for (const name of ['persons', 'personnel', 'organisations', 'parties'] as const) {
      const n = health.registers?.[name];
      if (n !== undefined) rows.push({ group: 'registers', name: t(`health.${name}`), state: 'ok', value: format.count(n) });
    }
    if (health.store === null) rows.push(unknown('store'));
    for (const [name, n] of Object.entries(health.store ?? {})) {
      if (isJudged(name)) rows.push({ group: 'store', name, state: isFailure(name) && n > 0 ? 'watch' : 'ok', value: format.count(n) });
    }
    return rows;
  }, [health, t, format]);
}

function isFailure(counter: string): boolean {
  return /fail|error/.test(counter);
}

/** Counters that say whether all is well; the others only say how much was done. */
function isJudged(counter: string): boolean {
  return isFailure(counter) || counter.endsWith('waiting');
}

function Counters({ counters }: { counters: Record<string, number> }) {
  const t = useTexts(drift);
  const format = useFormat();
  const all = Object.entries(counters);
  return (
    <details className="more">
      <summary>{t('health.counters', { n: all.length })}</summary>
      <Facts rows={all.map(([name, n]) => [name, format.count(n)] as const)} />
    </details>
  );
}

function GroupTable({ group, rows }: { group: Group; rows: readonly Row[] }) {
  const t = useTexts(drift);
  const title = t(`health.group.${group}`);
  const hasLimit = rows.some((row) => row.limit);
  const hasAdvice = rows.some((row) => row.advice);
  return (
    <Section id={`group-${group}`} title={title}>
      <table className="compact compact--blocks compact--even">
        <caption className="hidden">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{t('health.col.name')}</th>
            <th scope="col">{t('health.col.state')}</th>
            <th scope="col">{t('health.col.value')}</th>
            {hasLimit && <th scope="col">{t('health.col.limit')}</th>}
            {hasAdvice && <th scope="col">{t('health.col.advice')}</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row" data-label={t('health.col.name')}>
                {row.name}
              </th>
              <td data-label={t('health.col.state')}>
                <State tone={TONES[row.state]}>{t(`health.state.${row.state}`)}</State>
              </td>
              <td data-label={t('health.col.value')}>{row.value}</td>
              {hasLimit && <td data-label={t('health.col.limit')}>{row.limit ?? '–'}</td>}
              {hasAdvice && <td data-label={t('health.col.advice')}>{row.advice ?? '–'}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}
