import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useMemo, useRef, useState, type FormEvent } from 'react';
import { Fault, get } from '../api/client.ts';
import type { MessagePage as PageOfMessages, MessageRow, Summary } from '../api/drift.ts';
import { useSession } from '../api/session.tsx';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { MESSAGE_FUNCTIONS, messageFunction } from '../i18n/words.ts';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, FaultNotice, Waiting } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { setQuery, useQuery } from '../router.tsx';
import { STATES, toneOf, useStateText } from './words.ts';

const ASK_EVERY_MS = 4_000;
/** Filters that stand in the address, and their names in the request. */
const FILTERS = { tilstand: 'state', type: 'function', her: 'her_id' } as const;
/** "Trenger et menneske" is not a state but several; the hub knows which. */
const NEEDS_HUMAN = 'needs_human';

function ask(path: string, signal?: AbortSignal): Promise<PageOfMessages> {
  return get<PageOfMessages>(path, signal);
}

/** The message flow: what is stuck first. */
export function MessagesPage() {
  const t = useTexts(drift);
  const { view } = useSession();
  const query = useQuery();
  const path = useMemo(() => {
    const params = new URLSearchParams();
    for (const [name, param] of Object.entries(FILTERS)) {
      const value = query.get(name);
      if (value) params.set(param, value);
    }
    const text = params.toString();
    return `/api/drift/messages${text ? `?${text}` : ''}`;
  }, [query]);
  const list = useLiveList(path);
  return (
    <Page
      isWide
      title={t('messages.title')}
      actions={
        <button type="button" className="quiet-button" aria-pressed={list.isPaused} onClick={list.togglePause}>
          {list.isPaused ? t('messages.live.resume') : t('messages.live.pause')}
        </button>
      }
    >
      {view?.kind === 'party' && <p>{t('messages.own', { organisation: view.organisation ?? '' })}</p>}
      {list.summary && <Numbers summary={list.summary} />}
      <Filters />
      {list.fault && <FaultNotice fault={list.fault} onRetry={list.reload} />}
      <div role="status">
        {list.fresh > 0 && (
          <Button variant="outline" onClick={list.showFresh}>
            {list.fresh === 1 ? t('messages.fresh.one') : t('messages.fresh.many', { n: list.fresh })}
          </Button>
        )}
      </div>
      {list.rows === undefined ? (
        !list.fault && <Waiting text={t('messages.loading')} />
      ) : list.rows.length === 0 ? (
        <Empty text={t('messages.empty')} at={list.at} />
      ) : (
        <MessageTable rows={list.rows} />
      )}
      {list.next && (
        <Button variant="outline" onClick={list.loadOlder}>
          {t('messages.older')}
        </Button>
      )}
    </Page>
  );
}

interface LiveList {
  rows: MessageRow[] | undefined;
  next: string | null;
  summary: Summary | null;
  fault: Fault | undefined;
  at: number | undefined;
  /** How many new ones wait above what is read. */
  fresh: number;
  isPaused: boolean;
  togglePause: () => void;
  showFresh: () => void;
  loadOlder: () => void;
  reload: () => void;
}

/** Asks again by itself. Rows that are shown change their state; new ones wait until they are asked for. */
function useLiveList(path: string): LiveList {
  const [rows, setRows] = useState<MessageRow[]>();
  const [next, setNext] = useState<string | null>(null);
  const [summary, setSummary] = useState<Summary | null>(null);
  const [waiting, setWaiting] = useState<PageOfMessages>();
  const [fault, setFault] = useState<Fault>();
  const [at, setAt] = useState<number>();
  const [isPaused, setPaused] = useState(false);
  const [round, setRound] = useState(0);
  const shown = useRef<MessageRow[]>(undefined);
  shown.current = rows;
  const fail = (cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));

  useEffect(() => {
    setRows(undefined);
    setWaiting(undefined);
  }, [path]);
  useEffect(() => {
    const abort = new AbortController();
    const look = () => {
      if (document.hidden) return;
      ask(path, abort.signal).then(
        (page) => {
          setFault(undefined);
          setAt(Date.now() * 1000);
          setSummary(page.summary ?? null);
          const old = shown.current;
          if (!old || old.length === 0) {
            setRows(page.rows);
            setNext(page.next);
            return;
          }
          const known = new Map(page.rows.map((row) => [row.id, row]));
          setRows(old.map((row) => known.get(row.id) ?? row));
          setWaiting(page);
        },
        (cause: unknown) => !abort.signal.aborted && fail(cause),
      );
    };
    look();
    const timer = isPaused ? undefined : setInterval(look, ASK_EVERY_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [path, isPaused, round]);

  const ids = new Set(rows?.map((row) => row.id));
  const fresh = waiting ? waiting.rows.filter((row) => !ids.has(row.id)) : [];
  return {
    rows,
    next,
    summary,
    fault,
    at,
    fresh: fresh.length,
    isPaused,
    togglePause: () => setPaused((paused) => !paused),
    showFresh: () => {
      if (!waiting) return;
      setRows(waiting.rows);
      setNext(waiting.next);
      setWaiting(undefined);
    },
    loadOlder: () => {
      get<PageOfMessages>(`${path}${path.includes('?') ? '&' : '?'}before=${encodeURIComponent(next ?? '')}`).then((page) => {
        setRows((old) => [...(old ?? []), ...page.rows]);
        setNext(page.next);
      }, fail);
    },
    reload: () => setRound((n) => n + 1),
  };
}

function Numbers({ summary }: { summary: Summary }) {
  const t = useTexts(drift);
  const format = useFormat();
  const of = (...codes: (keyof Summary['by_state'])[]) => codes.reduce((sum, code) => sum + (summary.by_state[code] ?? 0), 0);
  const waiting = of('queued', 'collected', 'acknowledged');
  const receipted = of('accepted', 'accepted_with_remarks', 'receipt_sealed');
  const done = of('done', 'dropped');
  const total = Math.max(1, waiting + receipted + done + summary.needs_human);
  const bars = [
    ['good', receipted + done],
    ['wait', waiting],
    ['bad', summary.needs_human],
  ] as const;
  return (
    <section className="numbers" aria-labelledby="numbers">
      <h2 id="numbers" className="hidden">
        {t('messages.summary')}
      </h2>
      <dl>
        <div className={summary.needs_human > 0 ? 'numbers__bad' : undefined}>
          <dt>
            <a href={`/drift/meldinger?tilstand=${NEEDS_HUMAN}`}>{t('messages.human')}</a>
          </dt>
          <dd>{format.count(summary.needs_human)}</dd>
        </div>
        <div>
          <dt>{t('messages.waiting')}</dt>
          <dd>{format.count(waiting)}</dd>
        </div>
        <div>
          <dt>{t('messages.received')}</dt>
          <dd>{format.count(receipted)}</dd>
        </div>
        <div>
          <dt>{t('messages.delivered')}</dt>
          <dd>{format.count(done)}</dd>
        </div>
      </dl>
      <div className="bar" aria-hidden="true">
        {bars.map(([tone, n]) => n > 0 && <span key={tone} className={`bar__${tone}`} style={{ width: `${Math.max(1, (n / total) * 100)}%` }} />)}
      </div>
      <p className="muted">
        {t('messages.summary')}. {summary.cut && t('messages.summary.cut')}
      </p>
    </section>
  );
}

function Filters() {
  const t = useTexts(drift);
  const { language } = useLanguage();
  const query = useQuery();
  const [her, setHer] = useState(query.get('her') ?? '');
  const [error, setError] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const wanted = her.trim();
    const isGood = /^\d{0,10}$/.test(wanted);
    setError(isGood ? '' : t('messages.filter.her.bad'));
    if (isGood) setQuery({ her: wanted || undefined });
  };
  const hasFilter = Object.keys(FILTERS).some((name) => query.get(name));
  return (
    <form className="filters" aria-label={t('messages.filter')} onSubmit={submit}>
      <SelectField
        label={t('messages.filter.state')}
        value={query.get('tilstand') ?? ''}
        onChange={(event) => setQuery({ tilstand: event.target.value || undefined })}
      >
        <option value="">{t('messages.filter.state.all')}</option>
        <option value={NEEDS_HUMAN}>{t('messages.human')}</option>
        {STATES.map((code) => (
          <option key={code} value={code}>
            {t(`filter.${code}`)}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={t('messages.filter.function')}
        value={query.get('type') ?? ''}
        onChange={(event) => setQuery({ type: event.target.value || undefined })}
      >
        <option value="">{t('messages.filter.function.all')}</option>
        {MESSAGE_FUNCTIONS.map((code) => (
          <option key={code} value={code}>
            {messageFunction(code, language)}
          </option>
        ))}
      </SelectField>
      <TextField
        label={t('messages.filter.her')}
        inputMode="numeric"
        value={her}
        onChange={(event) => setHer(event.target.value)}
        error={error}
        size={10}
      />
      <Button type="submit" variant="outline">
        {t('messages.filter.do')}
      </Button>
      {hasFilter && (
        <Button
          variant="borderless"
          onClick={() => {
            setHer('');
            setQuery({ tilstand: undefined, type: undefined, her: undefined });
          }}
        >
          {t('messages.filter.clear')}
        </Button>
      )}
    </form>
  );
}

/** Rows of messages; also for the related ones of a message. */
export function MessageTable({ rows }: { rows: readonly MessageRow[] }) {
  const t = useTexts(drift);
  return (
    <table className="compact compact--blocks compact--unlabelled">
      <caption className="hidden">{t('messages.title')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('messages.col.time')}</th>
          <th scope="col">{t('messages.col.type')}</th>
          <th scope="col">{t('messages.col.parties')}</th>
          <th scope="col">{t('messages.col.state')}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.id} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ row }: { row: MessageRow }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  const say = useStateText();
  const party = (p: MessageRow['from']) => (
    <>
      {p.name ?? t('message.unknown')} <span className="muted">({p.her_id || '–'})</span>
    </>
  );
  return (
    <tr>
      <td data-label={t('messages.col.time')} className="nowrap">
        {format.shortDateTime(row.received_at)}
      </td>
      <th scope="row" data-label={t('messages.col.type')}>
        <a href={`/drift/meldinger/${row.id}`}>{messageFunction(row.subject, language)}</a>
      </th>
      <td data-label={t('messages.col.parties')}>
        <div>{party(row.from)}</div>
        <div>
          <span className="muted">{t('messages.to')}</span> {party(row.to)}
        </div>
      </td>
      <td data-label={t('messages.col.state')}>
        <State tone={toneOf(row)}>{say(row)}</State>
        {row.alert && <p className="alert-line">{t(`alert.${row.alert}`)}</p>}
      </td>
    </tr>
  );
}
