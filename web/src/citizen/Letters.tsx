import type { LetterLine, LettersView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { documentKind } from '../i18n/words.ts';
import { Page } from '../parts/page.tsx';
import { Row, Rows } from '../parts/rows.tsx';
import { Loaded, Source } from '../parts/source.tsx';

/** All letters, newest first. */
export function LettersPage() {
  const t = useTexts(citizen);
  const load = useLoad<LettersView>('/api/citizen/letters');
  return (
    <Page title={t('letters.title')} crumbs={[{ text: 'Helsenav', href: '/' }, { text: t('letters.title') }]}>
      <Loaded load={load} waiting={t('letters.loading')}>
        {(view) => (
          <Source state={view.state} source={t('letter.source')} empty={t('letters.empty')} at={load.at} onRetry={load.reload}>
            <Rows>
              {view.letters.map((letter) => (
                <Line key={letter.id} letter={letter} />
              ))}
            </Rows>
          </Source>
        )}
      </Loaded>
    </Page>
  );
}

function Line({ letter }: { letter: LetterLine }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const state = letter.is_cancelled ? t('letters.cancelled') : letter.is_amended ? t('letters.amended') : null;
  return (
    <Row
      href={`/brev/${letter.id}`}
      title={documentKind(letter.kind, language)}
      text={letter.from}
      meta={[letter.date && format.dateTime(letter.date), state].filter(Boolean).join(' · ')}
    />
  );
}
