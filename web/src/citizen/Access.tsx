import Button from '@helsenorge/designsystem-react/components/Button';
import Toggle from '@helsenorge/designsystem-react/components/Toggle';
import { useState } from 'react';
import type { AccessView, BlockedPerson, Change } from '../api/citizen.ts';
import { Fault, post } from '../api/client.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { part, role } from '../i18n/words.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Page, Section } from '../parts/page.tsx';
import { FaultNotice, Trouble, Waiting } from '../parts/source.tsx';
import { BlockDialog } from './BlockDialog.tsx';

/** Does a change; the answer is the page anew. */
type Act = (path: string, body: unknown, done: string) => Promise<void>;

/** Who may look: first the state in one sentence, then what can be changed. */
export function AccessPage() {
  const t = useTexts(citizen);
  const load = useLoad<AccessView>('/api/citizen/access');
  const [fault, setFault] = useState<Fault>();
  const [done, setDone] = useState('');

  const show = (view: AccessView, text: string) => {
    load.set(view);
    setFault(undefined);
    setDone(text);
  };
  const act: Act = async (path, body, text) => {
    setDone('');
    try {
      show(await post<AccessView>(`/api/citizen/access/${path}`, body), text);
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    }
  };
  return (
    <Page title={t('access.title')} crumbs={[{ text: 'Helsenav', href: '/' }, { text: t('access.short') }]}>
      {load.data ? (
        <>
          <Now view={load.data} />
          <p role="status" className={done ? 'done' : undefined}>
            {done}
          </p>
          {fault && <FaultNotice fault={fault} onRetry={load.reload} />}
          <Blocked view={load.data} act={act} onBlocked={(view) => show(view, t('access.done.blocked'))} />
          <Parts view={load.data} act={act} />
          <Reservation view={load.data} act={act} />
          <History changes={load.data.changes} />
        </>
      ) : load.fault ? (
        <Trouble text={t('access.down')} eventId={load.fault.eventId} onRetry={load.reload} />
      ) : (
        <Waiting text={t('access.loading')} />
      )}
    </Page>
  );
}

function Now({ view }: { view: AccessView }) {
  const t = useTexts(citizen);
  const list: string[] = [];
  const blocked = view.blocked.length;
  const restricted = Object.values(view.parts).filter(Boolean).length;
  if (blocked > 0) list.push(blocked === 1 ? t('access.now.blocked.one') : t('access.now.blocked.many', { n: blocked }));
  if (view.is_restricted_wholly) list.push(t('access.now.restricted.all'));
  else if (restricted > 0) list.push(restricted === 1 ? t('access.now.restricted.one') : t('access.now.restricted.many', { n: restricted }));
  const text = view.is_reserved_kj
    ? t('access.now.reserved')
    : list.length > 0
      ? t('access.now.some', { list: list.join(', ') })
      : t('access.now.none');
  return <p className="lead">{text}</p>;
}

function Blocked({ view, act, onBlocked }: { view: AccessView; act: Act; onBlocked: (view: AccessView) => void }) {
  const t = useTexts(citizen);
  const [isOpen, setOpen] = useState(false);
  const [lifting, setLifting] = useState<BlockedPerson>();
  return (
    <Section
      id="blocked"
      title={t('access.blocked')}
      aside={
        <Button variant="outline" onClick={() => setOpen(true)}>
          {t('access.block')}
        </Button>
      }
    >
      <p>{t('access.blockText')}</p>
      {view.blocked.length === 0 ? (
        <p className="empty">{t('access.blocked.none')}</p>
      ) : (
        <ul className="people">
          {view.blocked.map((person) => (
            <Person key={person.hpr} person={person} onLift={() => setLifting(person)} />
          ))}
        </ul>
      )}
      {isOpen && (
        <BlockDialog
          onClose={() => setOpen(false)}
          onBlocked={(next) => {
            setOpen(false);
            onBlocked(next);
          }}
        />
      )}
      {lifting && <LiftDialog person={lifting} act={act} onClose={() => setLifting(undefined)} />}
    </Section>
  );
}

function Person({ person, onLift }: { person: BlockedPerson; onLift: () => void }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const name = person.name ?? t('access.blocked.nameless');
  const place = [role(person.role, language), person.organisation].filter(Boolean).join(', ');
  return (
    <li>
      <div>
        <strong>{name}</strong>
        <p className="muted">
          {place} · {t('access.since', { time: format.dateTime(person.since) })}
        </p>
      </div>
      <Button variant="outline" aria-label={t('access.lift.of', { name })} onClick={onLift}>
        {t('access.lift')}
      </Button>
    </li>
  );
}

function LiftDialog({ person, act, onClose }: { person: BlockedPerson; act: Act; onClose: () => void }) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const name = person.name ?? t('access.blocked.nameless');
  const lift = async () => {
    await act('unblock', { hpr: person.hpr }, t('access.done.lifted'));
    onClose();
  };
  return (
    <Dialog
      isAlert
      title={t('access.lift.title')}
      onClose={onClose}
      actions={
        <>
          <Button onClick={() => void lift()}>{t('access.lift')}</Button>
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      <p>{t('access.lift.text', { name })}</p>
    </Dialog>
  );
}

function Parts({ view, act }: { view: AccessView; act: Act }) {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  const restrict = (what: unknown, on: boolean) =>
    void act('restrict', { what, on }, t(on ? 'access.done.restricted' : 'access.done.open'));
  const status = { checked: t('access.on'), unchecked: t('access.off') };
  return (
    <Section id="parts" title={t('access.parts')}>
      <p>{t('access.parts.text')}</p>
      <ul className="toggles">
        <li>
          <Toggle
            label={[{ text: t('access.parts.all') }]}
            statusText={status}
            checked={view.is_restricted_wholly}
            onChange={(event) => restrict('everything', event.target.checked)}
          />
        </li>
        {Object.entries(view.parts).map(([code, isOn]) => (
          <li key={code} className="toggles__part">
            <Toggle
              label={[{ text: code === 'own' ? t('access.part.own') : capital(part(code, language)) }]}
              statusText={status}
              checked={isOn}
              onChange={(event) => restrict({ part: code }, event.target.checked)}
            />
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Reservation({ view, act }: { view: AccessView; act: Act }) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const [step, setStep] = useState(0);
  const reserve = async () => {
    await act('reserve', { on: true }, t('access.done.reserved'));
    setStep(0);
  };
  const cancel = (
    <Button variant="outline" onClick={() => setStep(0)}>
      {s('cancel')}
    </Button>
  );
  return (
    <Section id="reserve" title={t('access.reserve')}>
      <p>{view.is_reserved_kj ? t('access.now.reserved') : t('access.reserve.text')}</p>
      {view.is_reserved_kj ? (
        <Button variant="outline" onClick={() => void act('reserve', { on: false }, t('access.done.unreserved'))}>
          {t('access.reserve.undo')}
        </Button>
      ) : (
        <Button variant="outline" onClick={() => setStep(1)}>
          {t('access.reserve.open')}
        </Button>
      )}
      {step === 1 && (
        <Dialog
          key="what"
          title={t('access.reserve.title')}
          onClose={() => setStep(0)}
          actions={
            <>
              <Button variant="outline" onClick={() => setStep(2)}>
                {t('access.reserve.next')}
              </Button>
              {cancel}
            </>
          }
        >
          <ul>
            <li>{t('access.reserve.1')}</li>
            <li>{t('access.reserve.2')}</li>
            <li>{t('access.reserve.3')}</li>
          </ul>
        </Dialog>
      )}
      {step === 2 && (
        <Dialog
          key="sure"
          isAlert
          title={t('access.reserve.sure')}
          onClose={() => setStep(0)}
          actions={
            <>
              <Button concept="destructive" onClick={() => void reserve()}>
                {t('access.reserve.do')}
              </Button>
              {cancel}
            </>
          }
        >
          <p>{t('access.reserve.sure.text')}</p>
        </Dialog>
      )}
    </Section>
  );
}

/** A block is one change for the citizen, though it is a row per register. */
function grouped(changes: readonly Change[]): Change[] {
  const seen = new Map<string, Change>();
  for (const change of changes) {
    const what = change.kind === 'restrict_all' && change.controller !== 'KJ' ? null : change;
    if (!what) continue;
    const key = [change.at, change.kind, change.what, change.is_on].join('|');
    if (!seen.has(key)) seen.set(key, change);
  }
  return [...seen.values()];
}

function History({ changes }: { changes: readonly Change[] }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const sentence = ({ kind, what, is_on }: Change): string => {
    const on = is_on ? 'on' : 'off';
    if (kind === 'block') return t(`access.history.${on}.block`, { what: what ?? t('access.history.person') });
    if (kind === 'restrict') return t(`access.history.${on}.restrict`, { what: part(what ?? 'other', language) });
    if (kind === 'restrict_all') return t(`access.history.${on}.restrict`, { what: part('kjernejournal', language) });
    if (kind === 'reserve') return t(`access.history.${on}.reserve`);
    return t(`access.history.${on}.other`);
  };
  const rows = grouped(changes);
  return (
    <Section id="history" title={t('access.history')}>
      {rows.length === 0 ? (
        <p className="empty">{t('access.history.none')}</p>
      ) : (
        <ol className="history">
          {rows.map((change, i) => (
            <li key={i}>
              <span className="history__time">{format.dateTime(change.at)}</span>
              <span>
                {sentence(change)} <span className="muted">{t('access.history.by', { by: change.by.toLowerCase() })}</span>
              </span>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
