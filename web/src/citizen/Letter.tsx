import type { LetterView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { documentKind } from '../i18n/words.ts';
import { LetterBody } from '../parts/letter.tsx';
import { Page, PrintButton, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { Notice } from '../parts/notice.tsx';

/** One letter: the sender's own text under five questions, and the untouched original. */
export function LetterPage({ id }: { id: string }) {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  const path = `/api/citizen/letters/${encodeURIComponent(id)}`;
  const load = useLoad<LetterView>(path);
  const title = load.data ? documentKind(load.data.kind, language) : t('letters.title');
  const crumbs = [{ text: 'Helsenav', href: '/' }, { text: t('letters.title'), href: '/brev' }, { text: title }];
  return (
    <Page title={title} crumbs={crumbs} actions={<PrintButton />}>
      <Loaded load={load} waiting={t('letters.loading')}>
        {(letter) => (
          <>
            {letter.is_cancelled && (
              <Notice>
                {t('letters.cancelled')}
              </Notice>
            )}
            <LetterBody letter={letter} />
            <Section id="original" title={t('letter.original')}>
              <p>{t('letter.original.text')}</p>
              <p>
                <a href={`${path}/original`} download>
                  {letter.size_bytes === null ? t('letter.download.plain') : t('letter.download', { size: sizeText(letter.size_bytes, language) })}
                </a>
              </p>
              {letter.sha256 && (
                <details className="more">
                  <summary>{t('letter.sha')}</summary>
                  <p>
                    <code className="long-code">{letter.sha256}</code>
                  </p>
                </details>
              )}
            </Section>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function sizeText(bytes: number, language: 'nb' | 'en'): string {
  const kilobytes = bytes / 1024;
  const number = kilobytes < 10 ? kilobytes.toFixed(1) : Math.round(kilobytes).toString();
  return `${language === 'nb' ? number.replace('.', ',') : number} kB`;
}
