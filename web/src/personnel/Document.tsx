import Button from '@helsenorge/designsystem-react/components/Button';
import type { LetterView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { personnel } from '../i18n/personnel.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { documentKind } from '../i18n/words.ts';
import { LetterBody } from '../parts/letter.tsx';
import { Page } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { navigate } from '../router.tsx';
import { PatientLine } from './PatientLine.tsx';
import { useRecord } from './record.tsx';

/** One document of the open record; opening it is a line in the log of its own. */
export function DocumentPage({ id }: { id: string }) {
  const t = useTexts(personnel);
  const { opened } = useRecord();
  const summary = opened?.outcome === 'summary' ? opened : undefined;
  const query = summary ? new URLSearchParams({ basis: summary.basis }).toString() : '';
  const load = useLoad<LetterView>(summary ? `/api/personnel/documents/${encodeURIComponent(id)}?${query}` : null);
  const { language } = useLanguage();
  if (!summary) {
    return (
      <Page title={t('find.title')}>
        <p>{t('find.closed')}</p>
        <Button onClick={() => navigate('/helsepersonell')}>{t('refused.back')}</Button>
      </Page>
    );
  }
  const title = load.data ? documentKind(load.data.kind, language) : t('summary.documents');
  return (
    <Page
      title={title}
      crumbs={[
        { text: t('find.title'), href: '/helsepersonell' },
        { text: summary.patient.name, href: '/helsepersonell/pasient' },
        { text: title },
      ]}
    >
      <PatientLine patient={summary.patient} />
      <Loaded load={load} waiting={t('document.loading')}>
        {(letter) => <LetterBody letter={letter} />}
      </Loaded>
      <p>
        <a href="/helsepersonell/pasient">{t('document.back')}</a>
      </p>
    </Page>
  );
}
