import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useState, type ReactNode } from 'react';
import type { CriticalItem } from '../api/citizen.ts';
import { Fault } from '../api/client.ts';
import type { DocumentRow, Panel, ResultRow, SummaryView } from '../api/personnel.ts';
import { useFormat } from '../i18n/format.ts';
import { personnel } from '../i18n/personnel.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { basis, category, part } from '../i18n/words.ts';
import { Page, Section } from '../parts/page.tsx';
import { FaultNotice, Source, Trouble } from '../parts/source.tsx';
import { Flag, State, type FlagCode } from '../parts/state.tsx';
import { navigate } from '../router.tsx';
import { PatientLine } from './PatientLine.tsx';
import { useRecord } from './record.tsx';

const FIRST_ROWS = 10;
const FIRST_CRITICAL = 3;

/** In ten seconds what changes treatment: the red band first, always in the same place. */
export function SummaryPage({ summary }: { summary: SummaryView }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const { language } = useLanguage();
  useGoKeys();
  const [n, all] = summary.answered;
  const back = () => navigate('/helsepersonell');
  return (
    <Page
      isWide
      title={t('summary.title', { name: summary.patient.name })}
      tabTitle={t('patient.tab')}
      actions={
        <>
          <Button variant="outline" onClick={back}>
            {t('summary.change')}
          </Button>
          <Button variant="borderless" onClick={back}>
            {t('summary.leave')}
          </Button>
        </>
      }
    >
      <PatientLine patient={summary.patient} />
      <p className="muted basis-line">
        {[
          t('summary.basis', { basis: basis(summary.basis, language) }),
          t('summary.opened', { time: format.time(summary.opened_at) }),
          t('summary.logged'),
        ].join(' · ')}
      </p>
      <Critical summary={summary} />
      <div className="panels">
        <Results panel={summary.results} />
        <Documents panel={summary.documents} />
      </div>
      <p className="muted">{t('summary.answered', { n, all, time: format.time(summary.opened_at) })}</p>
    </Page>
  );
}

/** `g` then `k`, `p` or `d` goes to critical information, results, documents. */
function useGoKeys(): void {
  useEffect(() => {
    const places: Record<string, string> = { k: 'critical', p: 'results', d: 'documents' };
    let goAt = 0;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).closest('input, textarea, select')) return;
      if (event.key === 'g') {
        goAt = event.timeStamp;
        return;
      }
      const place = places[event.key];
      if (place && event.timeStamp - goAt < 1_500) {
        const heading = document.getElementById(place);
        heading?.setAttribute('tabindex', '-1');
        heading?.focus();
      }
      goAt = 0;
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
}

function Critical({ summary }: { summary: SummaryView }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const { open } = useRecord();
  const { critical } = summary;
  const [isOpen, setOpen] = useState(false);
  const closed = summary.critical_is_closed && (
    <div className="band band--closed">
      <p>{t('summary.critical.closed')}</p>
      <Padlock code="critical" />
    </div>
  );
  if (critical.state === 'error' || critical.state === 'denied') {
    return (
      <section className="band band--down" aria-labelledby="critical">
        <h2 id="critical">
          <span aria-hidden="true">! </span>
          {t('summary.critical.down')}
        </h2>
        <Button variant="outline" onClick={() => void open(summary.basis)}>
          {t('summary.critical.retry')}
        </Button>
      </section>
    );
  }
  if (critical.items.length === 0) {
    return (
      <>
        {closed || (
          <section className="band band--none" aria-labelledby="critical">
            <h2 id="critical" className="hidden">
              {t('summary.critical')}
            </h2>
            <p>
              <State tone="quiet">{t('summary.critical.none', { time: format.time(critical.asked_at) })}</State>
            </p>
          </section>
        )}
      </>
    );
  }
  const items = isOpen ? critical.items : critical.items.slice(0, FIRST_CRITICAL);
  const isLong = critical.items.length > FIRST_CRITICAL;
  return (
    <>
      <section className="band band--critical" aria-labelledby="critical">
        <h2 id="critical">
          <span className="band__sign" aria-hidden="true">
            !
          </span>
          {t('summary.critical')}
        </h2>
        <ul>
          {items.map((item) => (
            <CriticalLine key={item.id} item={item} isOpen={isOpen} />
          ))}
        </ul>
        <button type="button" className="band__button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? t('summary.critical.fewer') : isLong ? t('summary.critical.all', { n: critical.items.length }) : t('summary.critical.details')}
        </button>
      </section>
      {closed}
    </>
  );
}

function CriticalLine({ item, isOpen }: { item: CriticalItem; isOpen: boolean }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const { language } = useLanguage();
  const kind = category(item.category, language);
  const verified = item.verification === 'confirmed' ? t('summary.critical.confirmed') : item.verification === 'unconfirmed' ? t('summary.critical.unconfirmed') : null;
  const meta = [
    verified,
    item.recorded && format.shortDate(item.recorded),
    item.is_self_registered ? t('summary.critical.self') : item.recorder,
  ].filter(Boolean);
  return (
    <li>
      <strong>
        {item.is_life_threatening && `${t('summary.critical.lifeThreatening')}: `}
        {kind}: <span lang="nb">{item.text}</span>
      </strong>
      {item.reaction && <span lang="nb"> ({item.reaction})</span>}
      {meta.length > 0 && <span> – {meta.join(', ')}</span>}
      {isOpen && item.note && (
        <p lang="nb" className="as-written">
          {item.note}
        </p>
      )}
    </li>
  );
}

/** A closed part, and the two ways to open it. */
function Padlock({ code }: { code: string }) {
  const t = useTexts(personnel);
  const { language } = useLanguage();
  const { open } = useRecord();
  const [fault, setFault] = useState<Fault>();
  const [isRefused, setRefused] = useState(false);
  const name = part(code, language);
  const go = async (basisCode: 'FORHOYET_SAMTYKKE' | 'FORHOYET_AKUTT') => {
    setFault(undefined);
    try {
      setRefused((await open(basisCode, code)).outcome === 'refused');
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    }
  };
  return (
    <>
      <div className="buttons">
        <Button variant="outline" aria-label={t('open.consent.of', { part: name })} onClick={() => void go('FORHOYET_SAMTYKKE')}>
          {t('open.consent')}
        </Button>
        <Button variant="outline" aria-label={t('open.emergency.of', { part: name })} onClick={() => void go('FORHOYET_AKUTT')}>
          {t('open.emergency')}
        </Button>
      </div>
      {isRefused && <Trouble text={t('open.failed')} variant="info" />}
      {fault && <FaultNotice fault={fault} />}
    </>
  );
}

function Closed({ code }: { code: string }) {
  const t = useTexts(personnel);
  return (
    <div className="closed">
      <p>
        <Lock /> {t('open.closed')}
      </p>
      <Padlock code={code} />
    </div>
  );
}

function Lock() {
  return (
    <svg className="lock" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d="M4.5 7V5a3.5 3.5 0 0 1 7 0v2" fill="none" stroke="currentColor" strokeWidth="1.75" />
      <rect x="3" y="7" width="10" height="7.5" rx="1.5" fill="currentColor" />
    </svg>
  );
}

function OpenedTag() {
  const t = useTexts(personnel);
  return (
    <p>
      <State tone="watch">{t('open.opened')}</State>
    </p>
  );
}

function useRows<T>(panel: Panel<T>): { rows: T[]; more: ReactNode } {
  const t = useTexts(personnel);
  const [isAll, setAll] = useState(false);
  const rows = isAll ? panel.rows : panel.rows.slice(0, FIRST_ROWS);
  const more = (
    <>
      {panel.rows.length > FIRST_ROWS && (
        <Button variant="borderless" onClick={() => setAll(!isAll)}>
          {isAll ? t('summary.fewer') : t('summary.all', { n: panel.rows.length })}
        </Button>
      )}
      {panel.has_more && isAll && <p className="muted">{t('summary.more')}</p>}
    </>
  );
  return { rows, more };
}

function Results({ panel }: { panel: Panel<ResultRow> }) {
  const t = useTexts(personnel);
  const { rows, more } = useRows(panel);
  const { open, opened } = useRecord();
  const retry = () => opened?.outcome === 'summary' && void open(opened.basis);
  return (
    <Section id="results" title={t('summary.results')} className="panel">
      {panel.is_opened && <OpenedTag />}
      <Source
        state={panel.state}
        source={t('summary.results')}
        empty={t('summary.results.empty')}
        at={panel.asked_at}
        onRetry={retry}
        closed={<Closed code={panel.part} />}
      >
        <table className="compact">
          <caption className="hidden">{t('summary.results')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('summary.results.name')}</th>
              <th scope="col">{t('summary.results.value')}</th>
              <th scope="col">{t('summary.results.range')}</th>
            </tr>
          </thead>
          {bySample(rows).map((sample) => (
            <Sample key={sample[0]?.id} rows={sample} />
          ))}
        </table>
        {more}
      </Source>
    </Section>
  );
}

/** Rows of the same time and laboratory stand together. */
function bySample(rows: readonly ResultRow[]): ResultRow[][] {
  const samples: ResultRow[][] = [];
  for (const row of rows) {
    const last = samples.at(-1)?.[0];
    if (last && last.time === row.time && last.performer === row.performer && last.is_amended === row.is_amended) samples.at(-1)?.push(row);
    else samples.push([row]);
  }
  return samples;
}

function Sample({ rows }: { rows: readonly ResultRow[] }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const first = rows[0];
  if (!first) return null;
  return (
    <tbody>
      <tr className="sample">
        <th scope="rowgroup" colSpan={3}>
          <strong>{first.time && format.shortDateTime(first.time)}</strong> {first.performer}
          {first.is_amended && <small className="tag">{t('summary.results.amended')}</small>}
        </th>
      </tr>
      {rows.map((row) => (
        <Result key={row.id} row={row} />
      ))}
    </tbody>
  );
}

function flagOf(row: ResultRow): FlagCode {
  if (row.flag === 'H' || row.flag === 'HH') return 'high';
  if (row.flag === 'L' || row.flag === 'LL') return 'low';
  if (row.flag && row.flag !== 'N') return 'outside';
  return row.range ? 'inside' : 'no_range';
}

function Result({ row }: { row: ResultRow }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const flag = flagOf(row);
  const words: Partial<Record<FlagCode, string>> = {
    high: t('summary.results.high'),
    low: t('summary.results.low'),
    outside: t('summary.results.outside'),
  };
  const word = words[flag];
  return (
    <tr>
      <th scope="row">
        <span lang="nb">{row.name}</span>
        {row.hidden_until !== null && (
          <small className="tag">{t('summary.results.hidden', { date: format.shortDate(row.hidden_until) })}</small>
        )}
      </th>
      <td data-label={t('summary.results.value')}>
        <span className="value">
          {format.decimal(row.value)} {row.unit}
        </span>{' '}
        {word && <Flag flag={flag} text={word} />}
      </td>
      <td data-label={t('summary.results.range')}>{row.range ?? '–'}</td>
    </tr>
  );
}

function Documents({ panel }: { panel: Panel<DocumentRow> }) {
  const t = useTexts(personnel);
  const { rows, more } = useRows(panel);
  const { open, opened } = useRecord();
  const retry = () => opened?.outcome === 'summary' && void open(opened.basis);
  return (
    <Section id="documents" title={t('summary.documents')} className="panel">
      {panel.is_opened && <OpenedTag />}
      <Source
        state={panel.state}
        source={t('summary.documents.source')}
        empty={t('summary.documents.empty')}
        at={panel.asked_at}
        onRetry={retry}
        closed={<Closed code={panel.part} />}
      >
        <ul className="documents">
          {rows.map((row) => (
            <DocumentItem key={row.id} row={row} />
          ))}
        </ul>
        {more}
      </Source>
    </Section>
  );
}

function DocumentItem({ row }: { row: DocumentRow }) {
  const s = useTexts(shell);
  const format = useFormat();
  const title = row.title ?? row.kind;
  return (
    <li>
      <a href={`/helsepersonell/pasient/dokument/${row.id}`}>
        <span lang="nb">{title || s('details')}</span>
      </a>
      <span className="muted">{[row.date && format.shortDateTime(row.date), row.author].filter(Boolean).join(' · ')}</span>
    </li>
  );
}
