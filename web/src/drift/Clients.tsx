import { useState } from 'react';
import type { ClientRow, ClientsOverview } from '../api/clients.ts';
import { clientPage } from '../api/clients.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { clients } from '../i18n/clients.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useTexts } from '../i18n/texts.tsx';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { ActionLink } from '../shell/Frames.tsx';
import { STATE_TONES } from './clientParts.tsx';
import { Decisions } from './ClientScopes.tsx';
import { Delegations, Systems } from './ClientSystems.tsx';

/** From so many clients on there is a search field. */
const SEARCH_FROM = 6;

/** Who may use HelseID: clients, what waits for a decision, the systems they are made from, delegations. */
export function ClientsPage() {
  const t = useTexts(clients);
  const { view } = useSession();
  const load = useLoad<ClientsOverview>('/api/drift/clients');
  const isParty = view?.kind === 'party';
  return (
    <Page isWide title={t('title')} actions={<ActionLink href="/drift/klienter/ny">{t('new')}</ActionLink>}>
      <p className="lead">{isParty ? t('lead.party', { organisation: view.organisation ?? '' }) : t('lead.operator')}</p>
      <Loaded load={load} waiting={t('loading')}>
        {(overview) => (
          <>
            {(overview.waiting.length > 0 || !isParty) && <Decisions waiting={overview.waiting} onDone={load.reload} />}
            <List overview={overview} />
            <Systems systems={overview.systems} isOperator={!isParty} onChange={load.reload} />
            <Delegations delegations={overview.delegations} isOperator={!isParty} onChange={load.reload} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function List({ overview }: { overview: ClientsOverview }) {
  const t = useTexts(clients);
  const [query, setQuery] = useState('');
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = overview.clients.filter((client) => {
    const text = `${client.name} ${client.organisation.name} ${client.organisation.orgnr} ${client.client_id} ${client.system ?? ''}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return (
    <Section id="clients" title={t('list')}>
      {overview.clients.length >= SEARCH_FROM && (
        <form role="search" className="filters" onSubmit={(event) => event.preventDefault()}>
          <TextField type="search" label={t('list.filter')} value={query} onChange={(event) => setQuery(event.target.value)} size={32} />
          <p role="status" className="muted">
            {words.length > 0 && hits.length > 0 && t('list.hits', { n: hits.length })}
          </p>
        </form>
      )}
      {overview.clients.length === 0 && <Empty text={t('list.none')} />}
      {overview.clients.length > 0 && hits.length === 0 && <Empty text={t('list.nohits')} />}
      {hits.length > 0 && <Table rows={hits} />}
      {overview.is_cut && <p className="muted">{t('list.cut')}</p>}
    </Section>
  );
}

function Table({ rows }: { rows: readonly ClientRow[] }) {
  const t = useTexts(clients);
  return (
    <table className="compact compact--blocks clients">
      <caption className="hidden">{t('list')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('col.client')}</th>
          <th scope="col">{t('col.organisation')}</th>
          <th scope="col">{t('col.state')}</th>
          <th scope="col">{t('col.keys')}</th>
          <th scope="col">{t('col.scopes')}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.client_id}>
            <th scope="row" data-label={t('col.client')}>
              <a href={clientPage(row.client_id)}>{row.name}</a>
              <p>
                <code className="long-code muted">{row.client_id}</code>
              </p>
            </th>
            <td data-label={t('col.organisation')}>
              {row.organisation.name}
              {row.system && row.system !== row.name && <p className="muted">{row.system}</p>}
            </td>
            <td data-label={t('col.state')}>
              <State tone={STATE_TONES[row.state]}>{t(`state.${row.state}`)}</State>
            </td>
            <td data-label={t('col.keys')}>
              <Keys row={row} />
            </td>
            <td data-label={t('col.scopes')}>
              <Scopes row={row} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Keys({ row }: { row: ClientRow }) {
  const t = useTexts(clients);
  const format = useFormat();
  if (row.keys_state === 'not_needed') return t('keys.not_needed');
  if (row.keys === 0) return <State tone="watch">{t('keys.none')}</State>;
  const text = row.keys_until ? t('keys.until', { n: row.keys, date: format.shortDate(row.keys_until.slice(0, 10)) }) : t('keys.count', { n: row.keys });
  return row.keys_state === 'ends_soon' ? <State tone="watch">{text}</State> : text;
}

function Scopes({ row }: { row: ClientRow }) {
  const t = useTexts(clients);
  const [approved, waiting, rejected] = row.scopes;
  return [
    t('scopes.count', { n: approved }),
    ...(waiting > 0 ? [t('scopes.waiting', { n: waiting })] : []),
    ...(rejected > 0 ? [t('scopes.rejected', { n: rejected })] : []),
  ].join(', ');
}

/** Crumbs of the pages below the list. */
export function useClientCrumbs(title: string) {
  const t = useTexts(clients);
  const d = useTexts(drift);
  return [{ text: d('menu.home'), href: '/drift' }, { text: t('title'), href: '/drift/klienter' }, { text: title }];
}
