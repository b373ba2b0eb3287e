import Button from '@helsenorge/designsystem-react/components/Button';
import Checkbox from '@helsenorge/designsystem-react/components/Checkbox';
import { useState } from 'react';
import type { LogLine, LogView, RegisterLooks, Visit } from '../api/citizen.ts';
import { Fault, get } from '../api/client.ts';
import { useLoad } from '../api/load.ts';
import { useNow } from '../api/session.tsx';
import { citizen } from '../i18n/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { basis, part, role } from '../i18n/words.ts';
import { SelectField } from '../parts/fields.tsx';
import { Page, PrintButton } from '../parts/page.tsx';
import { Empty, FaultNotice, Trouble, Waiting } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { setQuery, useQuery } from '../router.tsx';
import { BlockDialog, type BlockTarget } from './BlockDialog.tsx';

const DAY_US = 86_400_000_000;
const LOG = '/api/citizen/log';
/** Parts that are about the pages, not about the person; they stand in the details only. */
const PLUMBING = ['portal', 'log', 'tech'];

/** Who has looked: one line per visit, in words, grouped by day. */
export function LogPage() {
  const t = useTexts(citizen);
  const load = useLoad<LogView>(LOG);
  const [older, setOlder] = useState<LogView[]>([]);
  const [fault, setFault] = useState<Fault>();
  const [target, setTarget] = useState<BlockTarget>();
  const [done, setDone] = useState('');

  const pages = load.data ? [load.data, ...older] : [];
  const next = pages.at(-1)?.next_before ?? null;
  const loadOlder = () => {
    get<LogView>(`${LOG}?before=${next}`).then(
      (page) => setOlder((old) => [...old, page]),
      (cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown')),
    );
  };
  const blocked = () => {
    setTarget(undefined);
    setDone(t('access.done.blocked'));
    setOlder([]);
    load.reload();
  };
  return (
    <Page title={t('log.title')} crumbs={[{ text: 'Helsenav', href: '/' }, { text: t('log.short') }]} actions={<PrintButton />}>
      <Verify />
      <p role="status" className={done ? 'done' : undefined}>
        {done}
      </p>
      {load.data ? (
        <>
          <Visits visits={pages.flatMap((page) => page.visits)} onBlock={setTarget} />
          {fault && <FaultNotice fault={fault} />}
          {next !== null && (
            <Button variant="outline" onClick={loadOlder}>
              {t('log.older')}
            </Button>
          )}
          <Registers />
          <p className="note">{t('log.ask')}</p>
        </>
      ) : load.fault ? (
        <Trouble text={t('log.down')} eventId={load.fault.eventId} onRetry={load.reload} />
      ) : (
        <Waiting text={t('log.loading')} />
      )}
      {target && <BlockDialog target={target} onClose={() => setTarget(undefined)} onBlocked={blocked} />}
    </Page>
  );
}

function Verify() {
  const t = useTexts(citizen);
  return (
    <div className="sealed">
      <p>{t('log.sealed')}</p>
      <details className="more">
        <summary>{t('log.verify')}</summary>
        <p>{t('log.verify.text')}</p>
        <p>
          <code>helsenav log verify innsynslogg.json</code>
        </p>
        <p>
          <a href="/api/citizen/log/extract" download="innsynslogg.json">
            {t('log.verify.download')}
          </a>
        </p>
      </details>
    </div>
  );
}

/** How often organisations looked her up in the base registers: numbers by month, as there are too many for lines. */
function Registers() {
  const t = useTexts(citizen);
  const format = useFormat();
  const load = useLoad<RegisterLooks>(`${LOG}/registers`);
  return (
    <section className="log-registers" aria-labelledby="log-registers">
      <h2 id="log-registers">{t('log.registers')}</h2>
      <p>{t('log.registers.text')}</p>
      {load.fault && <Trouble text={t('log.registers.down')} eventId={load.fault.eventId} onRetry={load.reload} />}
      {load.data?.counted_until && (
        <p className="muted">{t('log.registers.until', { time: format.dateTime(load.data.counted_until) })}</p>
      )}
      {load.data?.months.length === 0 && <Empty text={t('log.registers.empty')} />}
      {load.data?.months.map((month) => (
        <table key={month.month} className="log-registers__month">
          <caption>{format.date(month.month)}</caption>
          <thead>
            <tr>
              <th scope="col">{t('log.registers.who')}</th>
              <th scope="col">{t('log.registers.count')}</th>
            </tr>
          </thead>
          <tbody>
            {month.organisations.map((organisation) => (
              <tr key={organisation.name ?? ''}>
                <th scope="row">{organisation.name ?? t('log.registers.others')}</th>
                <td>{organisation.count}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </section>
  );
}

function Visits({ visits, onBlock }: { visits: readonly Visit[]; onBlock: (target: BlockTarget) => void }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const now = useNow();
  const query = useQuery();
  const onlyRefused = query.get('vis') === 'avviste';
  const onlyOthers = query.get('andre') === '1';
  const days = Number(query.get('dager') ?? 0);
  const shown = visits.filter(
    (v) =>
      (!onlyRefused || v.is_denied) &&
      (!onlyOthers || v.head.actor_kind !== 'self') &&
      (!days || now - v.head.occurred_at < days * DAY_US),
  );
  const byDay = new Map<string, Visit[]>();
  for (const visit of shown) {
    const day = format.day(visit.head.occurred_at);
    byDay.set(day, [...(byDay.get(day) ?? []), visit]);
  }
  return (
    <>
      <div className="filters">
        <SelectField
          label={t('log.period')}
          value={days ? String(days) : ''}
          onChange={(event) => setQuery({ dager: event.target.value || undefined })}
        >
          <option value="">{t('log.period.all')}</option>
          <option value="30">{t('log.period.30')}</option>
          <option value="365">{t('log.period.365')}</option>
        </SelectField>
        <fieldset className="filters__checks">
          <legend className="hidden">{t('log.filter')}</legend>
          <Checkbox
            label={t('log.filter.refused')}
            checked={onlyRefused}
            onChange={(event) => setQuery({ vis: event.target.checked ? 'avviste' : undefined })}
          />
          <Checkbox
            label={t('log.filter.others')}
            checked={onlyOthers}
            onChange={(event) => setQuery({ andre: event.target.checked ? '1' : undefined })}
          />
        </fieldset>
      </div>
      {shown.length === 0 && <Empty text={t(onlyRefused ? 'log.empty.refused' : 'log.empty')} />}
      {[...byDay].map(([day, ofDay]) => (
        <section key={day} className="log-day" aria-labelledby={`day-${day}`}>
          <DayTitle day={day} />
          <ul className="log">
            {ofDay.map((visit) => (
              <VisitItem key={visit.head.id} visit={visit} onBlock={onBlock} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function DayTitle({ day }: { day: string }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const now = useNow();
  const today = format.day(now);
  const yesterday = format.day(now - DAY_US);
  const date = format.date(day);
  const text = day === today ? `${t('log.today')}, ${date}` : day === yesterday ? `${t('log.yesterday')}, ${date}` : date;
  return <h2 id={`day-${day}`}>{text}</h2>;
}

/** Who, in words: the name when it may be shown, else role and place. */
function useActor(): (line: LogLine) => string {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  return (line) => {
    const place = [line.organisation, line.department].filter(Boolean).join(', ');
    switch (line.actor_kind) {
      case 'self':
        return t('log.you');
      case 'system':
        return line.organisation ? t('log.system', { organisation: line.organisation }) : t('log.system.plain');
      case 'representative':
        return line.name ?? t('log.reason.representative');
      default: {
        if (line.is_blocked_person) return [t('log.blockedPerson'), place].filter(Boolean).join(', ');
        const title = role(line.role, language);
        if (line.name) return [line.name, title, place].filter(Boolean).join(', ');
        const capital = title.charAt(0).toUpperCase() + title.slice(1);
        return place ? t('log.roleAt', { role: capital, organisation: place }) : capital;
      }
    }
  };
}

function VisitItem({ visit, onBlock }: { visit: Visit; onBlock: (target: BlockTarget) => void }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const actor = useActor();
  const { head } = visit;
  const parts = visit.parts
    .filter((p) => !PLUMBING.includes(p))
    .map((p) => part(p, language))
    .join(', ');
  const refused = visit.count === 1 ? t('log.refused.one') : t('log.refused.many', { n: visit.count });
  return (
    <li className={visit.is_denied ? 'log__item log__item--refused' : 'log__item'}>
      <p className="log__time">{format.time(head.occurred_at)}</p>
      <div className="log__what">
        <p className="log__who">{actor(head)}</p>
        {visit.is_denied && (
          <p>
            <State tone="bad">{refused}</State>
          </p>
        )}
        {visit.is_denied && <p>{head.denied === 'block' ? t('log.refused.block') : t('log.refused.other')}</p>}
        {parts && <p>{visit.is_denied ? t('log.tried', { parts }) : isWrite(head) ? t('log.wrote', { parts }) : t('log.saw', { parts })}</p>}
        {!visit.is_denied && visit.reason !== 'yourself' && (
          <p>{t('log.reason', { reason: t(`log.reason.${visit.reason}`) })}</p>
        )}
        {head.name_shown_from && !head.is_blocked_person && (
          <p className="muted">{t('log.nameLater', { date: format.date(head.name_shown_from) })}</p>
        )}
        {head.imported && (
          <p className="muted">
            {t('log.imported')}. {t('log.imported.at', { time: format.dateTime(head.recorded_at) })}.
          </p>
        )}
        <details className="more">
          <summary>{visit.count === 1 ? t('log.more.one') : t('log.more.many', { n: visit.count })}</summary>
          <Lines lines={visit.lines} />
        </details>
        {visit.can_block && (
          <button
            type="button"
            className="quiet-button quiet-button--danger"
            onClick={() => onBlock({ whom: { log_line: head.id }, name: head.name, place: head.organisation })}
          >
            {head.name ? t('log.block', { name: head.name }) : t('log.block.nameless')}
          </button>
        )}
      </div>
    </li>
  );
}

/** Whether a line is about something written, not seen. */
function isWrite(line: LogLine): boolean {
  return ['Create', 'Update', 'Retract', 'Delete', 'ChangeSetting'].includes(line.action);
}

function Lines({ lines }: { lines: readonly LogLine[] }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  return (
    <ul className="log__lines">
      {lines.map((line) => (
        <li key={line.id}>
          <p>
            <strong>{format.seconds(line.occurred_at)}</strong> {t(line.denied ? 'log.detail.refused' : 'log.detail.shown')},{' '}
            {t(line.sealed ? 'log.detail.sealed' : 'log.detail.unsealed')}
          </p>
          <p>
            {[
              line.parts.map((p) => part(p, language)).join(', '),
              [line.service, line.api].filter(Boolean).join(', '),
              line.basis && t('log.detail.basis', { basis: basis(line.basis, language) }),
            ]
              .filter(Boolean)
              .join(' · ')}
          </p>
          {line.event_id && (
            <p>
              {t('log.detail.event')}: <code className="long-code">{line.event_id}</code>
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
