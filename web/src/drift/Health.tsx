import Button from '@helsenorge/designsystem-react/components/Button';
import type { Health, HealthRow, HealthState } from '../api/drift.ts';
import { useLoad } from '../api/load.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { pick, useLanguage, useTexts, type Language, type Text } from '../i18n/texts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';

const TONES: Record<HealthState, Tone> = { ok: 'good', watch: 'watch', fault: 'bad' };
const GROUPS = ['sources', 'queues', 'receipts', 'listeners', 'certificates', 'store', 'feed', 'log'] as const;
type Group = (typeof GROUPS)[number];

/** The state of everything: one sentence, then what needs a hand, by group. */
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
        {(health) => <Overview health={health} />}
      </Loaded>
    </Page>
  );
}

function Overview({ health }: { health: Health }) {
  const t = useTexts(drift);
  const format = useFormat();
  const bad = health.rows.filter((row) => row.state !== 'ok');
  const worst: Tone = bad.some((row) => row.state === 'fault') ? 'bad' : bad.length > 0 ? 'watch' : 'good';
  const sentence = bad.length === 0 ? t('health.ok') : bad.length === 1 ? t('health.watch.one') : t('health.watch.many', { n: bad.length });
  const groups = [...new Set(health.rows.map((row) => row.group))].sort((a, b) => order(a) - order(b));
  return (
    <>
      <p className="lead" role="status">
        <State tone={worst}>{sentence}</State> <span className="muted">{t('health.at', { time: format.time(health.at) })}</span>
      </p>
      {health.rows.length === 0 && <Empty text={t('health.empty')} />}
      {groups.map((group) => (
        <GroupTable key={group} group={group} rows={health.rows.filter((row) => row.group === group)} />
      ))}
    </>
  );
}

function isGroup(group: string): group is Group {
  return (GROUPS as readonly string[]).includes(group);
}

function order(group: string): number {
  return isGroup(group) ? GROUPS.indexOf(group) : GROUPS.length;
}

function GroupTable({ group, rows }: { group: string; rows: readonly HealthRow[] }) {
  const t = useTexts(drift);
  const { language } = useLanguage();
  const title = isGroup(group) ? t(`health.group.${group}`) : group;
  const hasLimit = rows.some((row) => row.limit !== null && row.limit !== undefined);
  const hasAdvice = rows.some((row) => row.advice);
  return (
    <Section id={`group-${group}`} title={title}>
      <table className="compact compact--blocks">
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
          {rows.map((row, i) => (
            <tr key={i}>
              <th scope="row" data-label={t('health.col.name')}>
                {row.href ? <a href={row.href}>{pick(row.name, language)}</a> : pick(row.name, language)}
              </th>
              <td data-label={t('health.col.state')}>
                <State tone={TONES[row.state]}>{t(`health.state.${row.state}`)}</State>
              </td>
              <td data-label={t('health.col.value')}>{valueText(row.value, language)}</td>
              {hasLimit && <td data-label={t('health.col.limit')}>{valueText(row.limit, language) || '–'}</td>}
              {hasAdvice && <td data-label={t('health.col.advice')}>{pick(row.advice, language) || '–'}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function valueText(value: Text | string | number | null | undefined, language: Language): string {
  if (typeof value === 'number') return new Intl.NumberFormat(language === 'nb' ? 'nb-NO' : 'en-GB').format(value);
  return pick(value, language);
}
