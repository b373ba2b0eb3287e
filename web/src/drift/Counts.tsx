import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Fault, post } from '../api/client.ts';
import type { CountPoint, CountReport, CountRow } from '../api/counts.ts';
import { useLoad } from '../api/load.ts';
import { useNow, useSession } from '../api/session.tsx';
import { counts } from '../i18n/counts.ts';
import { useFormat, type Format } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { condition, errorCodes, MESSAGE_FUNCTIONS, messageFunction } from '../i18n/words.ts';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, FaultNotice, Loaded } from '../parts/source.tsx';
import { setQuery, useQuery } from '../router.tsx';

const TRANSPORTS = ['amqp', 'ebxml', 'rest', 'hub'] as const;
const PERIODS = [1, 7, 30, 365] as const;
/** Filters that stand in the address, and their names in the request. */
const FILTERS = { fra: 'from', til: 'to', her: 'her_id', type: 'function', transport: 'transport' } as const;
const FIRST_ROWS = 12;

/** The message counter: how many, of which type, between whom, and what went wrong. */
export function CountsPage() {
  const t = useTexts(counts);
  const { view } = useSession();
  const query = useQuery();
  const params = new URLSearchParams();
  for (const [name, param] of Object.entries(FILTERS)) {
    const value = query.get(name);
    if (value) params.set(param, value);
  }
  const asked = params.toString() ? `?${params}` : '';
  const load = useLoad<CountReport>(`/api/drift/counts${asked}`);
  return (
    <Page
      isWide
      title={t('title')}
      actions={
        <a className="quiet-button" href={`/api/drift/counts.csv${asked}`} download>
          {t('form.csv')}
        </a>
      }
    >
      <p className="lead">{t('lead')}</p>
      {view?.kind === 'party' && <p>{t('own', { organisation: view.organisation ?? '' })}</p>}
      <Periods />
      <Filters key={asked} />
      <Loaded load={load} waiting={t('loading')}>
        {(report) => <Report report={report} at={load.at} />}
      </Loaded>
      {view?.kind === 'operator' && <Again onDone={load.reload} />}
    </Page>
  );
}

/** A day as the hub counts it. */
function isoDay(daysAgo: number, now: number): string {
  return new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Oslo' }).format(new Date(now / 1000 - daysAgo * 86_400_000));
}

function Periods() {
  const t = useTexts(counts);
  const query = useQuery();
  const now = useNow();
  return (
    <div className="buttons" role="group" aria-label={t('periods')}>
      {PERIODS.map((days) => {
        const from = isoDay(days - 1, now);
        const isChosen = query.get('fra') ? query.get('fra') === from && !query.get('til') : days === 7;
        return (
          <button
            key={days}
            type="button"
            className="quiet-button"
            aria-pressed={isChosen}
            onClick={() => setQuery({ fra: days === 7 ? undefined : from, til: undefined })}
          >
            {t(`period.${days}`)}
          </button>
        );
      })}
    </div>
  );
}

function Filters() {
  const t = useTexts(counts);
  const { language } = useLanguage();
  const query = useQuery();
  const [from, setFrom] = useState(query.get('fra') ?? '');
  const [to, setTo] = useState(query.get('til') ?? '');
  const [her, setHer] = useState(query.get('her') ?? '');
  const [error, setError] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const wanted = her.trim();
    const isGood = /^\d{0,9}$/.test(wanted) && (!from || !to || from <= to);
    setError(isGood ? '' : t('form.bad'));
    if (isGood) setQuery({ fra: from || undefined, til: to || undefined, her: wanted || undefined });
  };
  const hasFilter = Object.keys(FILTERS).some((name) => query.get(name));
  return (
    <form className="filters" aria-label={t('form.label')} onSubmit={submit}>
      <TextField label={t('form.from')} type="date" value={from} onChange={(event) => setFrom(event.target.value)} size={14} />
      <TextField label={t('form.to')} type="date" value={to} onChange={(event) => setTo(event.target.value)} size={14} />
      <SelectField label={t('form.function')} value={query.get('type') ?? ''} onChange={(event) => setQuery({ type: event.target.value || undefined })}>
        <option value="">{t('form.all')}</option>
        {MESSAGE_FUNCTIONS.map((code) => (
          <option key={code} value={code}>
            {messageFunction(code, language)}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={t('form.transport')}
        value={query.get('transport') ?? ''}
        onChange={(event) => setQuery({ transport: event.target.value || undefined })}
      >
        <option value="">{t('form.all')}</option>
        {TRANSPORTS.map((code) => (
          <option key={code} value={code}>
            {t(`transport.${code}`)}
          </option>
        ))}
      </SelectField>
      <TextField label={t('form.her')} inputMode="numeric" value={her} onChange={(event) => setHer(event.target.value)} error={error} size={10} />
      <Button type="submit" variant="outline">
        {t('form.do')}
      </Button>
      {hasFilter && (
        <Button variant="borderless" onClick={() => setQuery({ fra: undefined, til: undefined, her: undefined, type: undefined, transport: undefined })}>
          {t('form.clear')}
        </Button>
      )}
    </form>
  );
}

function Report({ report, at }: { report: CountReport; at: number | undefined }) {
  const t = useTexts(counts);
  const { language } = useLanguage();
  const party = (row: CountRow) => (
    <>
      {row.party?.name ?? t('key.unsaid')} <span className="muted">({row.key})</span>
    </>
  );
  const place = (row: CountRow) => (
    <>
      {row.name ?? (row.key ? '' : t('key.unknown'))} {row.key && <span className="muted">({row.key})</span>}
    </>
  );
  if (!report.totals.messages && report.errors === 0) return <Empty text={t('empty')} at={at} />;
  return (
    <>
      {report.cut && <p role="status">{t('cut')}</p>}
      <Sums report={report} />
      <Chart report={report} />
      <div className="count-lists">
        <List
          id="by-function"
          title={t('function.title')}
          rows={report.by_function}
          name={(row) =>
            row.key ? (
              <>
                {messageFunction(row.key, language)} <span className="muted">{messageFunction(row.key, language) === row.key ? '' : row.key}</span>
              </>
            ) : (
              t('key.uncategorised')
            )
          }
        />
        <Conditions conditions={report.conditions} />
        <List id="by-sender" title={t('sender.title')} rows={report.by_sender} name={party} />
        <List id="by-receiver" title={t('receiver.title')} rows={report.by_receiver} name={party} />
        <List id="by-region" title={t('region.title')} rows={report.by_region} name={(row) => (row.key ? t('region.name', { name: row.name ?? row.key }) : t('key.unknown'))} />
        <List id="by-municipality" title={t('municipality.title')} rows={report.by_municipality} name={place} />
        <List id="by-kind" title={t('kind.title')} rows={report.by_kind} name={place} />
        <List id="by-transport" title={t('transport.title')} rows={report.by_transport} name={(row) => t(`transport.${row.key}` as 'transport.amqp')} />
        <List
          id="by-version"
          title={t('version.title')}
          rows={report.by_version}
          name={(row) =>
            row.schema ? (
              <>
                {row.schema[language]} {row.schema.version} <span className="muted">({t(`standing.${row.schema.standing}`)})</span>
              </>
            ) : row.key ? (
              <code className="long-code">{row.key}</code>
            ) : (
              t('key.unsaid')
            )
          }
        />
        {report.by_system.length > 0 && <List id="by-system" title={t('system.title')} rows={report.by_system} name={(row) => row.key || t('key.unsaid')} />}
      </div>
    </>
  );
}

function receipts(row: CountReport['totals']): number {
  return (row.receipts_ok ?? 0) + (row.receipts_in_part ?? 0) + (row.receipts_rejected ?? 0) + (row.receipts_sealed ?? 0);
}

/** A number of bytes in the unit that fits. */
function volume(bytes: number, format: Format): string {
  const units = ['byte', 'kB', 'MB', 'GB', 'TB'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${format.count(Math.round(bytes / 1000 ** step))} ${units[step]}`;
}

function Sums({ report }: { report: CountReport }) {
  const t = useTexts(counts);
  const format = useFormat();
  const trend = (now: number, before: number) => {
    if (before === 0) return t('trend.none');
    const percent = Math.round(((now - before) / before) * 100);
    if (percent === 0) return t('trend.same');
    return percent > 0 ? t('trend.up', { n: format.count(percent) }) : t('trend.down', { n: format.count(-percent) });
  };
  const { totals, before } = report;
  const sums = [
    ['messages', format.count(totals.messages ?? 0), trend(totals.messages ?? 0, before.messages ?? 0), false],
    ['delivered', format.count(totals.delivered ?? 0), trend(totals.delivered ?? 0, before.delivered ?? 0), false],
    ['receipts', format.count(receipts(totals)), trend(receipts(totals), receipts(before)), false],
    ['errors', format.count(report.errors), trend(report.errors, report.errors_before), report.errors > 0],
    ['bytes', volume(totals.bytes ?? 0, format), trend(totals.bytes ?? 0, before.bytes ?? 0), false],
  ] as const;
  return (
    <section className="numbers" aria-labelledby="sums">
      <h2 id="sums" className="hidden">
        {t('sums')}
      </h2>
      <dl>
        {sums.map(([name, n, words, isBad]) => (
          <div key={name} className={isBad ? 'numbers__bad' : undefined}>
            <dt>
              {t(`sums.${name}`)}
              <span className="numbers__trend muted">{words}</span>
            </dt>
            <dd>{n}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** The words of a point: hour, day or month. */
function pointName(point: CountPoint, report: CountReport, format: Format): string {
  if (report.bucket === 'hour') return `${format.shortDate(point.at.slice(0, 10))} ${point.at.slice(11, 13)}–${String((Number(point.at.slice(11, 13)) + 1) % 24).padStart(2, '0')}`;
  return report.bucket === 'day' ? format.shortDate(point.at) : format.date(point.at);
}

const CHART = { width: 960, height: 240, left: 56, bottom: 28, top: 12 } as const;

/** The least round number that is not less. */
function roundUp(n: number): number {
  if (n <= 4) return 4;
  const step = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 5, 10].map((factor) => factor * step).find((top) => top >= n) ?? n;
}

/** Columns over time. The same numbers stand in the table below it. */
function Chart({ report }: { report: CountReport }) {
  const t = useTexts(counts);
  const format = useFormat();
  const { series } = report;
  const most = series.reduce((best, point) => (point.messages > best.messages ? point : best), series[0] ?? { at: report.from, messages: 0, errors: 0 });
  const top = roundUp(Math.max(...series.map((point) => Math.max(point.messages, point.errors)), 1));
  const inner = { width: CHART.width - CHART.left, height: CHART.height - CHART.bottom - CHART.top };
  const slot = inner.width / Math.max(1, series.length);
  const y = (n: number) => CHART.top + inner.height * (1 - n / top);
  const every = Math.max(1, Math.ceil(series.length / 8));
  const label = (point: CountPoint) => (report.bucket === 'hour' ? `${point.at.slice(11, 13)}` : report.bucket === 'day' ? `${Number(point.at.slice(8, 10))}.${Number(point.at.slice(5, 7))}.` : point.at);
  const words = t('chart.text', {
    messages: format.count(report.totals.messages ?? 0),
    from: format.shortDate(report.from),
    to: format.shortDate(report.to),
    top: pointName(most, report, format),
    n: format.count(most.messages),
  });
  return (
    <Section id="chart" title={t('chart.title')}>
      <figure className="chart">
        <figcaption>
          {words}{' '}
          <span className="chart__legend" aria-hidden="true">
            <span className="chart__key chart__key--good" /> {t('chart.messages')} <span className="chart__key chart__key--bad" /> {t('chart.errors')}
          </span>
        </figcaption>
        <svg viewBox={`0 0 ${CHART.width} ${CHART.height}`} aria-hidden="true" focusable="false">
          {[0, 0.5, 1].map((part) => (
            <g key={part}>
              <line className="chart__line" x1={CHART.left} x2={CHART.width} y1={y(top * part)} y2={y(top * part)} />
              <text className="chart__text" x={CHART.left - 8} y={y(top * part) + 5} textAnchor="end">
                {format.count(top * part)}
              </text>
            </g>
          ))}
          {series.map((point, i) => {
            const x = CHART.left + i * slot;
            const width = Math.max(1, Math.min(slot * 0.7, 48));
            const left = x + (slot - width) / 2;
            const errors = Math.min(point.errors, Math.max(point.messages, point.errors));
            const height = Math.max(point.messages, point.errors);
            return (
              <g key={point.at}>
                {height > 0 && <rect className="chart__good" x={left} y={y(height)} width={width} height={Math.max(1, y(errors) - y(height))} />}
                {errors > 0 && <rect className="chart__bad" x={left} y={Math.min(y(errors), y(0) - 3)} width={width} height={Math.max(3, y(0) - y(errors))} />}
                {i % every === 0 && (
                  <text className="chart__text" x={x + slot / 2} y={CHART.height - 8} textAnchor="middle">
                    {label(point)}
                  </text>
                )}
              </g>
            );
          })}
        </svg>
      </figure>
      <details className="more">
        <summary>{t('chart.table')}</summary>
        <table className="compact compact--numbers">
          <caption className="hidden">{t('chart.title')}</caption>
          <thead>
            <tr>
              <th scope="col">{t(`chart.${report.bucket}`)}</th>
              <th scope="col">{t('col.messages')}</th>
              <th scope="col">{t('col.errors')}</th>
            </tr>
          </thead>
          <tbody>
            {series.map((point) => (
              <tr key={point.at}>
                <th scope="row">{pointName(point, report, format)}</th>
                <td>{format.count(point.messages)}</td>
                <td>{format.count(point.errors)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </Section>
  );
}

/** A list with a bar and the numbers of each row. */
function List({ id, title, rows, name }: { id: string; title: string; rows: readonly CountRow[]; name: (row: CountRow) => ReactNode }) {
  const t = useTexts(counts);
  const format = useFormat();
  const most = Math.max(1, ...rows.map((row) => row.messages ?? 0));
  return (
    <Section id={id} title={title}>
      <table className="compact compact--blocks compact--numbers">
        <caption className="hidden">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{t('col.what')}</th>
            <th scope="col">{t('col.messages')}</th>
            <th scope="col">{t('col.delivered')}</th>
            <th scope="col">{t('col.receipts')}</th>
            <th scope="col">{t('col.errors')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, FIRST_ROWS).map((row) => (
            <tr key={row.key}>
              <th scope="row">
                {name(row)}
                <span className="count-bar" aria-hidden="true" style={{ width: `${Math.max(1, ((row.messages ?? 0) / most) * 100)}%` }} />
              </th>
              <td data-label={t('col.messages')}>{format.count(row.messages ?? 0)}</td>
              <td data-label={t('col.delivered')}>{format.count(row.delivered ?? 0)}</td>
              <td data-label={t('col.receipts')}>{format.count(receipts(row))}</td>
              <td data-label={t('col.errors')}>{format.count(row.errors)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function Conditions({ conditions }: { conditions: CountReport['conditions'] }) {
  const t = useTexts(counts);
  const format = useFormat();
  const { language } = useLanguage();
  const all = Object.entries(conditions).sort((a, b) => b[1] - a[1]);
  const words = (code: string) => (/^[A-Z]\d\d$/.test(code) ? errorCodes([code], language) : condition(code, language));
  return (
    <Section id="conditions" title={t('conditions.title')}>
      {all.length === 0 ? (
        <p>{t('conditions.none')}</p>
      ) : (
        <table className="compact compact--numbers">
          <caption className="hidden">{t('conditions.title')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.what')}</th>
              <th scope="col">{t('col.times')}</th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, FIRST_ROWS).map(([code, n]) => (
              <tr key={code}>
                <th scope="row">
                  {words(code)}
                </th>
                <td>{format.count(n)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

function Again({ onDone }: { onDone: () => void }) {
  const t = useTexts(counts);
  const [fault, setFault] = useState<Fault>();
  const [isDone, setDone] = useState(false);
  const count = () => {
    setFault(undefined);
    post('/api/drift/counts/again', {}).then(
      () => {
        setDone(true);
        onDone();
      },
      (cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown')),
    );
  };
  return (
    <details className="more">
      <summary>{t('again')}</summary>
      <p>{t('again.text')}</p>
      {fault && <FaultNotice fault={fault} onRetry={count} />}
      <Button variant="outline" onClick={count}>
        {t('again')}
      </Button>
      <p role="status">{isDone && t('again.done')}</p>
    </details>
  );
}
