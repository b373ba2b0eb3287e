import type { ApiRow } from '../api/apis.ts';
import { apiPage } from '../api/apis.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { apis } from '../i18n/apis.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';

const TERMS_TONES: Record<ApiRow['terms'], Tone> = { none: 'quiet', open: 'wait', accepted: 'good', changed: 'watch' };

/** The APIs: for their owners who asks and who uses them, for everybody the terms of use. */
export function ApisPage() {
  const t = useTexts(apis);
  const load = useLoad<ApiRow[]>('/api/drift/api');
  return (
    <Page isWide title={t('title')}>
      <p className="lead">{t('lead')}</p>
      <Loaded load={load} waiting={t('loading')}>
        {(rows) => (
          <>
            <Rows id="own" title={t('own')} rows={rows.filter((row) => row.may_decide)} />
            <Rows id="others" title={t(rows.some((row) => row.may_decide) ? 'others' : 'all')} rows={rows.filter((row) => !row.may_decide)} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Rows({ id, title, rows }: { id: string; title: string; rows: readonly ApiRow[] }) {
  const t = useTexts(apis);
  if (rows.length === 0) return null;
  const hasCounts = rows.some((row) => row.users !== null);
  return (
    <Section id={id} title={title}>
      <table className="compact compact--blocks">
        <caption className="hidden">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{t('col.api')}</th>
            <th scope="col">{t('col.owner')}</th>
            {hasCounts && <th scope="col">{t('col.users')}</th>}
            <th scope="col">{t('col.terms')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.audience}>
              <th scope="row" data-label={t('col.api')}>
                <a href={apiPage(row.audience)}>
                  <code className="long-code">{row.audience}</code>
                </a>
              </th>
              <td data-label={t('col.owner')}>
                {row.owner?.name ?? t('owner.operator')}
                {row.is_automatic && <p className="muted">{t('automatic')}</p>}
              </td>
              {hasCounts && (
                <td data-label={t('col.users')}>
                  {t('users', { n: row.users ?? 0 })}
                  {(row.waiting ?? 0) > 0 && (
                    <p>
                      <State tone="wait">{t('users.waiting', { n: row.waiting ?? 0 })}</State>
                    </p>
                  )}
                </td>
              )}
              <td data-label={t('col.terms')}>
                <TermsState row={row} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

/** How it stands with the terms: for an operator only whether there are any. */
export function TermsState({ row }: { row: ApiRow }) {
  const t = useTexts(apis);
  const { view } = useSession();
  if (row.terms === 'none') return t('terms.state.none');
  if (view?.kind !== 'party') return t('terms.state.has');
  return <State tone={TERMS_TONES[row.terms]}>{t(`terms.state.${row.terms}`)}</State>;
}
