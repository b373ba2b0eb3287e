import Button from '@helsenorge/designsystem-react/components/Button';
import { useId, useState } from 'react';
import { post } from '../api/client.ts';
import { clientPath, type ClientDetail } from '../api/clients.ts';
import { useLoad } from '../api/load.ts';
import { clients } from '../i18n/clients.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Facts } from '../parts/facts.tsx';
import { Notice } from '../parts/notice.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { navigate, useQuery } from '../router.tsx';
import { KeySection } from './ClientKeys.tsx';
import { ActFault, STATE_TONES, Sure, useAct } from './clientParts.tsx';
import { useClientCrumbs } from './Clients.tsx';
import { ScopeSection } from './ClientScopes.tsx';

/** One client: who it is, its keys, scopes and addresses. Also where an organisation confirms a draft. */
export function ClientPage({ id }: { id: string }) {
  const t = useTexts(clients);
  const load = useLoad<ClientDetail>(clientPath(id));
  const [outcome, setOutcome] = useState<Outcome>();
  const title = load.data?.name ?? t('title');
  const crumbs = useClientCrumbs(title);
  // Whoever decided on the last thing that waited may have nothing more to see here.
  const change = (view: ClientDetail | null) => (view ? load.set(view) : navigate('/drift/klienter'));
  return (
    <Page isWide title={title} crumbs={crumbs}>
      {outcome && <OutcomeNotice outcome={outcome} />}
      {outcome?.status !== 'Cancelled' && (
        <Loaded load={load} waiting={t('client.loading')}>
          {(client) => (
            <>
              <p className="lead">
                <State tone={STATE_TONES[client.state]}>{t(`state.${client.state}`)}</State>
              </p>
              {client.state === 'draft' && !outcome && (
                <Draft
                  client={client}
                  onDone={(done) => {
                    setOutcome(done);
                    if (done.status === 'Success') load.reload();
                  }}
                />
              )}
              {client.state === 'configured' && <Notice>{t('client.configured')}</Notice>}
              <About client={client} />
              <KeySection client={client} onChange={change} />
              <ScopeSection client={client} onChange={change} />
              <Addresses client={client} onChange={change} />
              <Ending client={client} onChange={change} />
            </>
          )}
        </Loaded>
      )}
    </Page>
  );
}

interface Outcome {
  status: 'Success' | 'Cancelled';
  redirect: string | null;
}

function OutcomeNotice({ outcome }: { outcome: Outcome }) {
  const t = useTexts(clients);
  return (
    <Notice variant={outcome.status === 'Success' ? 'success' : 'info'} role="status">
      <p>{t(outcome.status === 'Success' ? 'client.confirmed' : 'client.declined')}</p>
      {outcome.redirect && (
        <p>
          <a href={outcome.redirect}>{t('client.back')}</a>
        </p>
      )}
    </Notice>
  );
}

function Draft({ client, onDone }: { client: ClientDetail; onDone: (outcome: Outcome) => void }) {
  const t = useTexts(clients);
  const query = useQuery();
  const { fault, isBusy, run } = useAct();
  const organisation = client.organisation.name;
  if (!client.may_confirm) return <Notice>{t('client.draft.other', { organisation })}</Notice>;
  const answer = (accept: boolean) =>
    void run(async () => {
      const outcome = await post<Outcome>(clientPath(client.client_id, '/confirm'), { accept, port: query.get('port'), path: query.get('path') });
      onDone(outcome);
      // The installation waits for the browser there.
      if (outcome.redirect) location.assign(outcome.redirect);
    });
  return (
    <div className="to-do">
      <p>{t('client.draft', { organisation })}</p>
      <div className="buttons">
        <Button disabled={isBusy} onClick={() => answer(true)}>
          {t('client.confirm')}
        </Button>
        <Button variant="outline" disabled={isBusy} onClick={() => answer(false)}>
          {t('client.decline')}
        </Button>
      </div>
      {fault && <ActFault fault={fault} />}
    </div>
  );
}

function About({ client }: { client: ClientDetail }) {
  const t = useTexts(clients);
  const format = useFormat();
  const { about } = client;
  const named = (list: readonly { orgnr: string; name: string }[]) => list.map((one) => `${one.name} (${one.orgnr})`).join(', ');
  const uses = about?.users !== 'personnel' ? null : [about.user_login && t('use.login'), about.machine && t('use.machine')].filter(Boolean).join(', ');
  return (
    <Facts
      rows={[
        [t('client.id'), <code className="long-code">{client.client_id}</code>],
        [t('client.issuer'), client.issuer && <code className="long-code">{client.issuer}</code>],
        [t('col.organisation'), client.organisation.orgnr ? `${client.organisation.name} (${client.organisation.orgnr})` : client.organisation.name],
        [t('col.system'), about?.name],
        [t('col.supplier'), about && about.supplier.orgnr !== client.organisation.orgnr ? `${about.supplier.name} (${about.supplier.orgnr})` : null],
        [t('client.for'), t(`tenancy.${client.tenancy}`)],
        [t('client.children'), named(client.children)],
        [t('client.delegations'), named(client.delegations)],
        [t('col.use'), uses],
        [t('client.rules'), about?.rules && t(`client.rules.${about.rules}`)],
        [t('client.created'), client.created && format.dateTime(client.created)],
      ]}
    />
  );
}

interface OfClient {
  client: ClientDetail;
  onChange: (view: ClientDetail | null) => void;
}

function Addresses({ client, onChange }: OfClient) {
  const t = useTexts(clients);
  const [isChanging, setChanging] = useState(false);
  if (!client.about?.user_login) return null;
  const list = (uris: readonly string[]) =>
    uris.length === 0 ? (
      t('uri.none')
    ) : (
      <ul className="bare">
        {uris.map((uri) => (
          <li key={uri}>
            <code className="long-code">{uri}</code>
          </li>
        ))}
      </ul>
    );
  return (
    <Section
      id="addresses"
      title={t('uri.list')}
      aside={
        client.may_change && (
          <Button variant="outline" onClick={() => setChanging(true)}>
            {t('uri.change')}
          </Button>
        )
      }
    >
      <Facts
        rows={[
          [t('uri.redirect'), list(client.redirect_uris)],
          [t('uri.logout'), list(client.post_logout_redirect_uris)],
        ]}
      />
      {isChanging && (
        <AddressDialog
          client={client}
          onClose={() => setChanging(false)}
          onChange={(view) => {
            setChanging(false);
            onChange(view);
          }}
        />
      )}
    </Section>
  );
}

function AddressDialog({ client, onClose, onChange }: OfClient & { onClose: () => void }) {
  const t = useTexts(clients);
  const s = useTexts(shell);
  const id = useId();
  const { fault, isBusy, run } = useAct();
  const isFixed = client.about?.fixes_redirect_uris ?? false;
  const [redirect, setRedirect] = useState(client.redirect_uris.join('\n'));
  const [logout, setLogout] = useState(client.post_logout_redirect_uris.join('\n'));
  const lines = (text: string) => text.split('\n').map((line) => line.trim()).filter(Boolean);
  const save = () =>
    void run(async () =>
      onChange(
        await post<ClientDetail | null>(clientPath(client.client_id, '/uris'), {
          redirect_uris: isFixed ? [] : lines(redirect),
          post_logout_redirect_uris: lines(logout),
        }),
      ),
    );
  const field = (name: string, label: string, value: string, set: (value: string) => void) => (
    <div className="field">
      <label htmlFor={`${id}-${name}`}>{label}</label>
      <p className="field__hint" id={`${id}-${name}-hint`}>
        {t('uri.hint')}
      </p>
      <textarea
        id={`${id}-${name}`}
        className="code-field"
        rows={4}
        spellCheck={false}
        autoComplete="off"
        aria-describedby={`${id}-${name}-hint`}
        value={value}
        onChange={(event) => set(event.target.value)}
      />
    </div>
  );
  return (
    <Dialog
      title={t('uri.change')}
      onClose={onClose}
      actions={
        <>
          <Button disabled={isBusy} onClick={save}>
            {t('uri.do')}
          </Button>
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      {isFixed ? <p>{t('uri.fixed')}</p> : field('redirect', t('uri.redirect'), redirect, setRedirect)}
      {field('logout', t('uri.logout'), logout, setLogout)}
      {fault && <ActFault fault={fault} />}
    </Dialog>
  );
}

function Ending({ client, onChange }: OfClient) {
  const t = useTexts(clients);
  const { fault, isBusy, run } = useAct();
  const [asking, setAsking] = useState<'block' | 'remove'>();
  if (!client.may_change) return null;
  const block = async (blocked: boolean) => {
    onChange(await post<ClientDetail | null>(clientPath(client.client_id, '/block'), { blocked }));
    setAsking(undefined);
  };
  return (
    <Section id="ending" title={t('client.end')}>
      <div className="buttons">
        {client.may_block && client.state === 'blocked' && (
          <Button variant="outline" disabled={isBusy} onClick={() => void run(() => block(false))}>
            {t('client.unblock')}
          </Button>
        )}
        {client.may_block && (client.state === 'active' || client.state === 'keyless') && (
          <Button variant="outline" onClick={() => setAsking('block')}>
            {t('client.block')}
          </Button>
        )}
        <Button variant="outline" concept="destructive" onClick={() => setAsking('remove')}>
          {t('client.remove')}
        </Button>
      </div>
      {fault && <ActFault fault={fault} />}
      {asking === 'block' && (
        <Sure title={t('client.block.title')} act={t('client.block')} isDestructive onClose={() => setAsking(undefined)} onAct={() => block(true)}>
          <p>{t('client.block.text')}</p>
        </Sure>
      )}
      {asking === 'remove' && (
        <Sure
          title={t('client.remove.title', { client: client.name })}
          act={t('client.remove.do')}
          isDestructive
          onClose={() => setAsking(undefined)}
          onAct={async () => {
            await post(clientPath(client.client_id, '/remove'));
            navigate('/drift/klienter');
          }}
        >
          <p>{t('client.remove.text')}</p>
        </Sure>
      )}
    </Section>
  );
}
