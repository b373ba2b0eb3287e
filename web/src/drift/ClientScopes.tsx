import Button from '@helsenorge/designsystem-react/components/Button';
import { useState } from 'react';
import { post } from '../api/client.ts';
import { clientPage, clientPath, type ClientDetail, type ClientScope, type WaitingDecision } from '../api/clients.ts';
import { clients } from '../i18n/clients.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/fields.tsx';
import { Section } from '../parts/page.tsx';
import { Empty } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { ActFault, Checks, Sure, useAct } from './clientParts.tsx';

/** A decision that the user has begun. */
export interface Deciding {
  clientId: string;
  client: string;
  subject: string;
  approve: boolean;
  /** It was approved before. */
  isRevoked?: boolean;
}

/** Colours of the states of a scope. */
export const SCOPE_TONES: Record<ClientScope['state'], Tone> = { approved: 'good', requested: 'wait', rejected: 'bad' };

/** Asks once more, and for a reason when it is a refusal. */
export function DecideDialog({ deciding, onClose, onDone }: { deciding: Deciding; onClose: () => void; onDone: (view: ClientDetail | null) => void }) {
  const t = useTexts(clients);
  const [reason, setReason] = useState('');
  const { clientId, client, subject, approve, isRevoked } = deciding;
  const word = approve ? 'approve' : 'reject';
  const said = isRevoked ? 'revoke' : word;
  return (
    <Sure
      title={t(`${said}.title`)}
      act={t(said)}
      isDestructive={!approve}
      onClose={onClose}
      onAct={async () => onDone(await post<ClientDetail | null>(clientPath(clientId, '/scopes/decide'), { subject, approve, reason: reason.trim() || null }))}
    >
      <p>{t(`${word}.text`, { client, scope: subject })}</p>
      {!approve && <TextField label={t('reason')} hint={t('reason.hint')} value={reason} maxLength={300} onChange={(event) => setReason(event.target.value)} size={36} autoComplete="off" />}
    </Sure>
  );
}

/** Two buttons that say for a screen reader what they are about. */
export function DecideButtons({ client, subject, onDecide }: { client: string; subject: string; onDecide: (approve: boolean) => void }) {
  const t = useTexts(clients);
  return (
    <span className="acts">
      <button type="button" className="quiet-button" aria-label={t('approve.named', { scope: subject, client })} onClick={() => onDecide(true)}>
        {t('approve')}
      </button>
      <button type="button" className="quiet-button quiet-button--danger" aria-label={t('reject.named', { scope: subject, client })} onClick={() => onDecide(false)}>
        {t('reject')}
      </button>
    </span>
  );
}

/** What waits for the user's word, of all clients. */
export function Decisions({ waiting, onDone }: { waiting: readonly WaitingDecision[]; onDone: () => void }) {
  const t = useTexts(clients);
  const format = useFormat();
  const [deciding, setDeciding] = useState<Deciding>();
  return (
    <Section id="waiting" title={t('waiting')}>
      {waiting.length === 0 ? (
        <Empty text={t('waiting.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('waiting')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.scope')}</th>
              <th scope="col">{t('col.client')}</th>
              <th scope="col">{t('col.organisation')}</th>
              <th scope="col">{t('col.since')}</th>
              <th scope="col">{t('col.do')}</th>
            </tr>
          </thead>
          <tbody>
            {waiting.map((one) => (
              <tr key={`${one.client_id} ${one.subject}`}>
                <th scope="row" data-label={t('col.scope')}>
                  <code className="long-code">{one.subject}</code>
                  {one.value !== null && <p className="muted">{t('waiting.value', { value: one.value })}</p>}
                </th>
                <td data-label={t('col.client')}>
                  <a href={clientPage(one.client_id)}>{one.client}</a>
                </td>
                <td data-label={t('col.organisation')}>{one.organisation.name}</td>
                <td data-label={t('col.since')}>{format.shortDate(one.since.slice(0, 10))}</td>
                <td data-label={t('col.do')}>
                  <DecideButtons
                    client={one.client}
                    subject={one.subject}
                    onDecide={(approve) => setDeciding({ clientId: one.client_id, client: one.client, subject: one.subject, approve })}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {deciding && (
        <DecideDialog
          deciding={deciding}
          onClose={() => setDeciding(undefined)}
          onDone={() => {
            setDeciding(undefined);
            onDone();
          }}
        />
      )}
    </Section>
  );
}

interface OfClient {
  client: ClientDetail;
  onChange: (view: ClientDetail | null) => void;
}

/** Scopes of one client with their states. */
export function ScopeSection({ client, onChange }: OfClient) {
  const t = useTexts(clients);
  const [deciding, setDeciding] = useState<Deciding>();
  const [removing, setRemoving] = useState<string>();
  const [isAsking, setAsking] = useState(false);
  const decide =
    (subject: string, isRevoked = false) =>
    (approve: boolean) =>
      setDeciding({ clientId: client.client_id, client: client.name, subject, approve, isRevoked });
  const change = (view: ClientDetail | null) => {
    setDeciding(undefined);
    setRemoving(undefined);
    setAsking(false);
    onChange(view);
  };
  return (
    <Section
      id="scopes"
      title={t('scope.list')}
      aside={
        client.may_change && (
          <Button variant="outline" onClick={() => setAsking(true)}>
            {t('scope.request')}
          </Button>
        )
      }
    >
      {client.scope_list.length === 0 ? (
        <Empty text={t('scope.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('scope.list')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.scope')}</th>
              <th scope="col">{t('col.state')}</th>
              <th scope="col">{t('scope.owner')}</th>
              <th scope="col">{t('col.do')}</th>
            </tr>
          </thead>
          <tbody>
            {client.scope_list.map((scope) => (
              <ScopeRow key={scope.scope} scope={scope} client={client} onDecide={decide(scope.scope, scope.state === 'approved')} onRemove={() => setRemoving(scope.scope)} />
            ))}
          </tbody>
        </table>
      )}
      {client.claims.length > 0 && (
        <>
          <h3 id="claims" className="below">{t('claim.list')}</h3>
          <table className="compact compact--blocks">
            <caption className="hidden">{t('claim.list')}</caption>
            <thead>
              <tr>
                <th scope="col">{t('claim.type')}</th>
                <th scope="col">{t('claim.active')}</th>
                <th scope="col">{t('claim.pending')}</th>
                <th scope="col">{t('col.do')}</th>
              </tr>
            </thead>
            <tbody>
              {client.claims.map((claim) => (
                <tr key={claim.claim_type}>
                  <th scope="row" data-label={t('claim.type')}>
                    <code className="long-code">{claim.claim_type}</code>
                  </th>
                  <td data-label={t('claim.active')}>{claim.active ?? '–'}</td>
                  <td data-label={t('claim.pending')}>{claim.pending ?? '–'}</td>
                  <td data-label={t('col.do')}>{claim.may_decide ? <DecideButtons client={client.name} subject={claim.claim_type} onDecide={decide(claim.claim_type)} /> : '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {deciding && <DecideDialog deciding={deciding} onClose={() => setDeciding(undefined)} onDone={change} />}
      {removing && (
        <Sure
          title={t('scope.remove.title')}
          act={t('scope.remove')}
          isDestructive
          onClose={() => setRemoving(undefined)}
          onAct={async () => change(await post<ClientDetail | null>(clientPath(client.client_id, '/scopes/remove'), { scope: removing }))}
        >
          <p>{t('scope.remove.text', { scope: removing })}</p>
        </Sure>
      )}
      {isAsking && <RequestDialog client={client} onClose={() => setAsking(false)} onChange={change} />}
    </Section>
  );
}

function ScopeRow({ scope, client, onDecide, onRemove }: { scope: ClientScope; client: ClientDetail; onDecide: (approve: boolean) => void; onRemove: () => void }) {
  const t = useTexts(clients);
  const format = useFormat();
  const since = scope.decided ?? scope.requested;
  const isOfUser = scope.audience === null;
  return (
    <tr>
      <th scope="row" data-label={t('col.scope')}>
        <code className="long-code">{scope.scope}</code>
      </th>
      <td data-label={t('col.state')}>
        <State tone={SCOPE_TONES[scope.state]}>{t(`scope.state.${scope.state}`)}</State>
        {(scope.reason || (since && !isOfUser)) && (
          <p className="muted">
            {since && !isOfUser && t('scope.since', { date: format.shortDate(since.slice(0, 10)) })}
            {scope.reason && `. ${scope.reason}`}
          </p>
        )}
      </td>
      <td data-label={t('scope.owner')}>{isOfUser ? t('scope.user') : (scope.owner?.name ?? t('scope.operator'))}</td>
      <td data-label={t('col.do')}>
        <span className="acts">
          {scope.may_decide && scope.state === 'requested' && <DecideButtons client={client.name} subject={scope.scope} onDecide={onDecide} />}
          {scope.may_decide && scope.state === 'approved' && (
            <button type="button" className="quiet-button quiet-button--danger" aria-label={t('revoke.named', { scope: scope.scope, client: client.name })} onClick={() => onDecide(false)}>
              {t('revoke')}
            </button>
          )}
          {client.may_change && !isOfUser && (!scope.may_decide || scope.state === 'rejected') && (
            <button type="button" className="quiet-button quiet-button--danger" aria-label={t('scope.remove.named', { scope: scope.scope })} onClick={onRemove}>
              {t('scope.remove')}
            </button>
          )}
          {(isOfUser || (!client.may_change && !scope.may_decide)) && '–'}
        </span>
      </td>
    </tr>
  );
}

/** Rights of citizens' clients in words. */
const RIGHTS = {
  oidcnavn: 'right.name',
  oidcfodselsdatoinformasjon: 'right.birthdate',
  oidcfodselsnummer: 'right.pid',
  'nhn:helsenorge/fullmakt/read': 'right.attorney',
} as const;

function RequestDialog({ client, onClose, onChange }: OfClient & { onClose: () => void }) {
  const t = useTexts(clients);
  const s = useTexts(shell);
  const { fault, isBusy, run } = useAct();
  const [taken, setTaken] = useState<ReadonlySet<string>>(new Set());
  const [isMissing, setMissing] = useState(false);
  const isOfCitizens = client.tenancy === 'citizens';
  const groups = new Map<string, string[]>();
  for (const scope of client.offered_scopes) {
    const group = isOfCitizens ? t('right.list') : scope.slice(0, scope.indexOf('/'));
    groups.set(group, [...(groups.get(group) ?? []), scope]);
  }
  const right = (scope: string) => (scope in RIGHTS ? t(RIGHTS[scope as keyof typeof RIGHTS]) : scope);
  const ask = () => {
    setMissing(taken.size === 0);
    if (taken.size === 0) return;
    void run(async () => onChange(await post<ClientDetail | null>(clientPath(client.client_id, '/scopes'), { scopes: [...taken] })));
  };
  return (
    <Dialog
      title={t('scope.request.title')}
      onClose={onClose}
      actions={
        <>
          {groups.size > 0 && (
            <Button disabled={isBusy} onClick={ask}>
              {t('scope.request.do')}
            </Button>
          )}
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      {groups.size === 0 ? (
        <p>{t('scope.request.all')}</p>
      ) : (
        <>
          <p>{t(isOfCitizens ? 'right.text' : 'scope.request.text')}</p>
          {[...groups].map(([group, scopes]) => (
            <Checks
              key={group}
              legend={group}
              options={scopes.map((scope) => [scope, isOfCitizens ? right(scope) : scope.slice(group.length + 1)] as const)}
              taken={taken}
              onChange={setTaken}
            />
          ))}
        </>
      )}
      <div role="alert">{isMissing && taken.size === 0 && <p className="field__error">{t('scope.request.none')}</p>}</div>
      {fault && <ActFault fault={fault} />}
    </Dialog>
  );
}
