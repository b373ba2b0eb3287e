import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, type FormEvent } from 'react';
import { useLoad } from '../api/load.ts';
import { PARTY_MAP, partyPage, type PartyFacet, type PartyPage, type PartyRow } from '../api/parties.ts';
import { useFormat } from '../i18n/format.ts';
import { parties } from '../i18n/parties.ts';
import { useTexts } from '../i18n/texts.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { setQuery, useQuery } from '../router.tsx';

/** Filters that stand in the address, and their names in the request. */
const FILTERS = { sok: 'text', type: 'kind', virksomhetstype: 'business_type', kommune: 'municipality', side: 'page' } as const;

/** The address register: search and narrow down. */
export function PartiesPage() {
  const t = useTexts(parties);
  const query = useQuery();
  const params = new URLSearchParams();
  for (const [name, param] of Object.entries(FILTERS)) {
    const value = query.get(name);
    if (value) params.set(param, value);
  }
  const load = useLoad<PartyPage>(`/api/drift/parties?${params}`);
  return (
    <Page isWide title={t('title')}>
      <p className="lead">{t('lead')}</p>
      <p>
        <a href={PARTY_MAP}>{t('map.open')}</a>
      </p>
      <Search facets={load.data?.facets ?? []} />
      <Loaded load={load} waiting={t('loading')}>
        {(page) => <Found page={page} />}
      </Loaded>
    </Page>
  );
}

function Search({ facets }: { facets: readonly PartyFacet[] }) {
  const t = useTexts(parties);
  const query = useQuery();
  const [text, setText] = useState(query.get('sok') ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setQuery({ sok: text.trim() || undefined, side: undefined });
  };
  const hasFilter = Object.keys(FILTERS).some((name) => query.get(name));
  const options = (name: PartyFacet['name']) => facets.find((facet) => facet.name === name)?.entries ?? [];
  return (
    <form className="filters" role="search" aria-label={t('search.form')} onSubmit={submit}>
      <TextField label={t('search.text')} value={text} onChange={(event) => setText(event.target.value)} maxLength={200} size={28} />
      <SelectField
        label={t('search.kind')}
        value={query.get('type') ?? ''}
        onChange={(event) => setQuery({ type: event.target.value || undefined, side: undefined })}
      >
        <option value="">{t('search.all')}</option>
        {(['Organization', 'Service', 'Person'] as const).map((kind) => (
          <option key={kind} value={kind}>
            {t(`kind.${kind}`)}
          </option>
        ))}
      </SelectField>
      <FacetField label={t('search.business')} name="virksomhetstype" entries={options('BusinessTypeCode')} />
      <FacetField label={t('search.municipality')} name="kommune" entries={options('MunicipalityCode')} />
      <Button type="submit" variant="outline">
        {t('search.do')}
      </Button>
      {hasFilter && (
        <Button
          variant="borderless"
          onClick={() => {
            setText('');
            setQuery(Object.fromEntries(Object.keys(FILTERS).map((name) => [name, undefined])));
          }}
        >
          {t('search.clear')}
        </Button>
      )}
    </form>
  );
}

/** One of the values that the hits have; what is chosen stays, even without hits. */
function FacetField({ label, name, entries }: { label: string; name: keyof typeof FILTERS; entries: PartyFacet['entries'] }) {
  const t = useTexts(parties);
  const format = useFormat();
  const query = useQuery();
  const value = query.get(name) ?? '';
  return (
    <SelectField label={label} value={value} onChange={(event) => setQuery({ [name]: event.target.value || undefined, side: undefined })}>
      <option value="">{t('search.all')}</option>
      {value && !entries.some((entry) => entry.value === value) && <option value={value}>{value}</option>}
      {entries.map((entry) => (
        <option key={entry.value} value={entry.value}>
          {entry.text} ({format.count(entry.hits)})
        </option>
      ))}
    </SelectField>
  );
}

function Found({ page }: { page: PartyPage }) {
  const t = useTexts(parties);
  const format = useFormat();
  const to = (number: number) => setQuery({ side: number > 1 ? String(number) : undefined });
  return (
    <>
      <p role="status">{page.total === 0 ? t('empty') : t('found', { n: format.count(page.total) })}</p>
      {page.rows.length > 0 && <PartyTable rows={page.rows} caption={t('title')} />}
      {page.pages > 1 && (
        <p>
          {page.page > 1 && (
            <Button variant="outline" onClick={() => to(page.page - 1)}>
              {t('pages.previous')}
            </Button>
          )}{' '}
          <span className="muted">{t('pages', { page: page.page, pages: page.pages })}</span>{' '}
          {page.page < page.pages && (
            <Button variant="outline" onClick={() => to(page.page + 1)}>
              {t('pages.next')}
            </Button>
          )}
        </p>
      )}
    </>
  );
}

/** Whether a party can be sent to, and how its certificate stands: in a word, not by colour alone. */
export function PartyState({ row }: { row: PartyRow }) {
  const t = useTexts(parties);
  const [tone, text]: [Tone, string] = !row.is_valid
    ? ['quiet', t('state.invalid')]
    : row.certificate === null
      ? ['watch', t('certificate.none')]
      : row.certificate === 'ok'
        ? ['good', t('state.valid')]
        : [row.certificate === 'soon' ? 'watch' : 'bad', t(`certificate.${row.certificate}`)];
  return <State tone={tone}>{text}</State>;
}

/** Rows of parties; also for what stands below an organisation. */
export function PartyTable({ rows, caption, here }: { rows: readonly PartyRow[]; caption: string; here?: number }) {
  const t = useTexts(parties);
  return (
    <table className="compact compact--blocks">
      <caption className="hidden">{caption}</caption>
      <thead>
        <tr>
          <th scope="col">{t('col.name')}</th>
          <th scope="col">{t('col.her')}</th>
          <th scope="col">{t('col.kind')}</th>
          {here === undefined && <th scope="col">{t('col.parent')}</th>}
          <th scope="col">{t('col.state')}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.her_id}>
            <th scope="row" data-label={t('col.name')}>
              {row.her_id === here ? (
                <>
                  {row.name} <span className="muted">({t('tree.here')})</span>
                </>
              ) : (
                <a href={partyPage(row.her_id)}>{row.name}</a>
              )}
            </th>
            <td data-label={t('col.her')}>{row.her_id}</td>
            <td data-label={t('col.kind')}>
              {t(`kind.${row.kind}`)}
              {row.service && row.service !== row.name && <span className="muted"> · {row.service}</span>}
            </td>
            {here === undefined && (
              <td data-label={t('col.parent')}>{row.parent ? <a href={partyPage(row.parent.her_id)}>{row.parent.name}</a> : row.orgnr}</td>
            )}
            <td data-label={t('col.state')}>
              <PartyState row={row} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
