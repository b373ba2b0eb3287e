import Button from '@helsenorge/designsystem-react/components/Button';
import { useId, useState } from 'react';
import { apiPath, type ApiDetail, type ScopeUser } from '../api/apis.ts';
import { post } from '../api/client.ts';
import { clientPage } from '../api/clients.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { apis } from '../i18n/apis.ts';
import { clients } from '../i18n/clients.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useTexts } from '../i18n/texts.tsx';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { TermsState } from './Apis.tsx';
import { Sure } from './clientParts.tsx';
import { DecideButtons, DecideDialog, SCOPE_TONES, type Deciding } from './ClientScopes.tsx';

const ORGNR = /^\d{9}$/;

/** One API: its scopes with those who have asked for and use them, and its terms of use. */
export function ApiPage({ audience }: { audience: string }) {
  const t = useTexts(apis);
  const d = useTexts(drift);
  const load = useLoad<ApiDetail>(apiPath(audience));
  const crumbs = [{ text: d('menu.home'), href: '/drift' }, { text: t('title'), href: '/drift/api' }, { text: audience }];
  return (
    <Page isWide title={audience} crumbs={crumbs}>
      <Loaded load={load} waiting={t('api.loading')}>
        {(api) => (
          <>
            <p className="lead">
              {t('owner')}: {api.owner?.name ?? t('owner.operator')}
              {api.is_automatic && `. ${t('automatic')}.`}
            </p>
            <Scopes api={api} onChange={load.reload} />
            <Claims api={api} />
            <Terms api={api} onChange={load.set} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Scopes({ api, onChange }: { api: ApiDetail; onChange: () => void }) {
  const t = useTexts(apis);
  const [deciding, setDeciding] = useState<Deciding>();
  return (
    <Section id="scopes" title={t('scopes')}>
      {api.scopes.map(({ scope, clients: users }) => (
        <div key={scope} className="below">
          <h3 className="code-heading">
            <code className="long-code">{scope}</code>
          </h3>
          {users.length === 0 ? (
            <Empty text={t(api.may_decide ? 'scopes.none' : 'scopes.none.own')} />
          ) : (
            <Users
              scope={scope}
              users={users}
              mayDecide={api.may_decide}
              onDecide={(user, approve) => setDeciding({ clientId: user.client_id, client: user.client, subject: scope, approve, isRevoked: !approve && user.state === 'approved' })}
            />
          )}
        </div>
      ))}
      {deciding && (
        <DecideDialog
          deciding={deciding}
          onClose={() => setDeciding(undefined)}
          onDone={() => {
            setDeciding(undefined);
            onChange();
          }}
        />
      )}
    </Section>
  );
}

function Claims({ api }: { api: ApiDetail }) {
  const t = useTexts(apis);
  return (
    <Section id="claims" title={t('claims')}>
      {api.claims.length === 0 ? (
        <Empty text={t('claims.none')} />
      ) : (
        <ul className="bare">
          {api.claims.map((claim) => (
            <li key={claim}>
              <code className="long-code">{claim}</code>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

interface UsersProps {
  scope: string;
  users: readonly ScopeUser[];
  mayDecide: boolean;
  onDecide: (user: ScopeUser, approve: boolean) => void;
}

function Users({ scope, users, mayDecide, onDecide }: UsersProps) {
  const t = useTexts(apis);
  const c = useTexts(clients);
  const format = useFormat();
  const { view } = useSession();
  // An owner of an API may not see the page of a client that is somebody else's.
  const isLinked = (user: ScopeUser) => view?.kind === 'operator' || !mayDecide || user.state === 'requested';
  return (
    <table className="compact compact--blocks">
      <caption className="hidden">{t('scopes.of', { scope })}</caption>
      <thead>
        <tr>
          <th scope="col">{t('col.client')}</th>
          <th scope="col">{t('col.organisation')}</th>
          <th scope="col">{t('col.state')}</th>
          {mayDecide && <th scope="col">{t('col.do')}</th>}
        </tr>
      </thead>
      <tbody>
        {users.map((user) => (
          <tr key={user.client_id}>
            <th scope="row" data-label={t('col.client')}>
              {isLinked(user) ? <a href={clientPage(user.client_id)}>{user.client}</a> : user.client}
              {!user.is_usable && <p className="muted">{t('unusable')}</p>}
            </th>
            <td data-label={t('col.organisation')}>
              {user.organisation.name}
              {user.is_multi && <p className="muted">{t('multi')}</p>}
            </td>
            <td data-label={t('col.state')}>
              <State tone={SCOPE_TONES[user.state]}>{c(`scope.state.${user.state}`)}</State>
              {(user.since || user.reason || user.is_configured) && (
                <p className="muted">
                  {user.is_configured && t('configured')}
                  {user.since && c('scope.since', { date: format.shortDate(user.since.slice(0, 10)) })}
                  {user.reason && `. ${user.reason}`}
                </p>
              )}
            </td>
            {mayDecide && (
              <td data-label={t('col.do')}>
                <Decide scope={scope} user={user} onDecide={onDecide} />
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Decide({ scope, user, onDecide }: { scope: string; user: ScopeUser; onDecide: UsersProps['onDecide'] }) {
  const c = useTexts(clients);
  if (user.is_configured) return '–';
  if (user.state === 'requested') return <DecideButtons client={user.client} subject={scope} onDecide={(approve) => onDecide(user, approve)} />;
  const isApproved = user.state === 'approved';
  return (
    <button
      type="button"
      className={isApproved ? 'quiet-button quiet-button--danger' : 'quiet-button'}
      aria-label={c(isApproved ? 'revoke.named' : 'approve.named', { scope, client: user.client })}
      onClick={() => onDecide(user, !isApproved)}
    >
      {c(isApproved ? 'revoke' : 'approve')}
    </button>
  );
}

type OnChange = (api: ApiDetail) => void;

function Terms({ api, onChange }: { api: ApiDetail; onChange: OnChange }) {
  const t = useTexts(apis);
  const format = useFormat();
  const { view } = useSession();
  const [doing, setDoing] = useState<'set' | 'accept'>();
  const isParty = view?.kind === 'party';
  const terms = api.terms_of_use;
  const done = (next: ApiDetail) => {
    setDoing(undefined);
    onChange(next);
  };
  return (
    <Section
      id="terms"
      title={t('terms')}
      aside={
        api.may_decide && (
          <Button variant="outline" onClick={() => setDoing('set')}>
            {t(terms ? 'terms.set' : 'terms.add')}
          </Button>
        )
      }
    >
      {terms ? (
        <>
          <div className="prose">
            {terms.text.split(/\n+/).map((line, at) => (
              <p key={at}>{line}</p>
            ))}
          </div>
          <p className="muted">{t('terms.version', { version: terms.version, date: format.shortDate(terms.since.slice(0, 10)) })}</p>
          {isParty && (
            <p>
              <TermsState row={api} />
            </p>
          )}
          {api.may_accept && api.terms !== 'accepted' && (
            <p>
              <Button {...(isParty ? {} : { variant: 'outline' as const })} onClick={() => setDoing('accept')}>
                {t(isParty ? 'terms.accept' : 'terms.accept.other')}
              </Button>
            </p>
          )}
          <p className="muted">{t('terms.why')}</p>
          <Acceptances api={api} onChange={onChange} />
        </>
      ) : (
        <Empty text={t('terms.none')} />
      )}
      {doing === 'set' && <SetDialog api={api} onClose={() => setDoing(undefined)} onDone={done} />}
      {doing === 'accept' && terms && <AcceptDialog api={api} version={terms.version} onClose={() => setDoing(undefined)} onDone={done} />}
    </Section>
  );
}

function Acceptances({ api, onChange }: { api: ApiDetail; onChange: OnChange }) {
  const t = useTexts(apis);
  const format = useFormat();
  const { view } = useSession();
  const [ending, setEnding] = useState<ApiDetail['acceptances'][number]>();
  const mayEnd = view?.kind === 'operator' || !api.may_decide;
  return (
    <>
      <h3 className="below">{t('accepted')}</h3>
      {api.acceptances.length === 0 ? (
        <Empty text={t(api.may_decide ? 'accepted.none' : 'accepted.none.own')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('accepted')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.organisation')}</th>
              <th scope="col">{t('accepted.when')}</th>
              <th scope="col">{t('col.state')}</th>
              {mayEnd && <th scope="col">{t('col.do')}</th>}
            </tr>
          </thead>
          <tbody>
            {api.acceptances.map((one) => (
              <tr key={one.organisation.orgnr}>
                <th scope="row" data-label={t('col.organisation')}>
                  {one.organisation.name}
                </th>
                <td data-label={t('accepted.when')}>{format.shortDate(one.accepted.slice(0, 10))}</td>
                <td data-label={t('col.state')}>
                  <State tone={one.is_current ? 'good' : 'watch'}>{t(one.is_current ? 'accepted.current' : 'accepted.old')}</State>
                </td>
                {mayEnd && (
                  <td data-label={t('col.do')}>
                    <button type="button" className="quiet-button quiet-button--danger" aria-label={t('terms.withdraw.named', { organisation: one.organisation.name })} onClick={() => setEnding(one)}>
                      {t('terms.withdraw')}
                    </button>
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {ending && (
        <Sure
          title={t('terms.withdraw.title')}
          act={t('terms.withdraw')}
          isDestructive
          onClose={() => setEnding(undefined)}
          onAct={async () => {
            const next = await post<ApiDetail>(apiPath(api.audience, '/accept'), { organisation: ending.organisation.orgnr, version: api.terms_of_use?.version ?? 0, on: false });
            setEnding(undefined);
            onChange(next);
          }}
        >
          <p>{t('terms.withdraw.text', { organisation: ending.organisation.name })}</p>
        </Sure>
      )}
    </>
  );
}

interface DialogProps {
  api: ApiDetail;
  onClose: () => void;
  onDone: OnChange;
}

function SetDialog({ api, onClose, onDone }: DialogProps) {
  const t = useTexts(apis);
  const id = useId();
  const [text, setText] = useState(api.terms_of_use?.text ?? '');
  return (
    <Sure
      title={t(api.terms_of_use ? 'terms.set' : 'terms.add')}
      act={t('terms.set.do')}
      onClose={onClose}
      onAct={async () => onDone(await post<ApiDetail>(apiPath(api.audience, '/terms'), { text: text.trim() || null }))}
    >
      <div className="field">
        <label htmlFor={id}>{t('terms.set.label')}</label>
        <p className="field__hint" id={`${id}-hint`}>
          {t('terms.set.hint')}
        </p>
        <textarea id={id} className="text-area" rows={8} maxLength={8000} autoComplete="off" aria-describedby={`${id}-hint`} value={text} onChange={(event) => setText(event.target.value)} />
      </div>
    </Sure>
  );
}

function AcceptDialog({ api, version, onClose, onDone }: DialogProps & { version: number }) {
  const t = useTexts(apis);
  const { view } = useSession();
  const isParty = view?.kind === 'party';
  const [organisation, setOrganisation] = useState('');
  const [isWrong, setWrong] = useState(false);
  return (
    <Sure
      title={t('terms.accept.title')}
      act={t('terms.accept')}
      onClose={onClose}
      onAct={async () => {
        const isRight = isParty || ORGNR.test(organisation.trim());
        setWrong(!isRight);
        if (!isRight) return;
        onDone(await post<ApiDetail>(apiPath(api.audience, '/accept'), { organisation: isParty ? null : organisation.trim(), version, on: true }));
      }}
    >
      {isParty ? (
        <p>{t('terms.accept.text', { organisation: view.organisation ?? '', api: api.audience })}</p>
      ) : (
        <TextField
          label={t('terms.accept.for')}
          value={organisation}
          onChange={(event) => setOrganisation(event.target.value)}
          error={isWrong ? t('terms.missing') : undefined}
          inputMode="numeric"
          maxLength={9}
          size={9}
          autoComplete="off"
        />
      )}
    </Sure>
  );
}
