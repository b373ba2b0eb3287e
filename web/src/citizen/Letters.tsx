import LinkList from '@helsenorge/designsystem-react/components/LinkList';
import type { LetterLine, LettersView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { documentKind } from '../i18n/words.ts';
import { Page } from '../parts/page.tsx';
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
            <LinkList variant="outline">
              {view.letters.map((letter) => (
                <LinkList.Link key={letter.id} href={`/brev/${letter.id}`}>
                  <Line letter={letter} />
                </LinkList.Link>
              ))}
            </LinkList>
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
    <span className="news">
      <span className="news__title">{documentKind(letter.kind, language)}</span>
      {letter.from && <span className="news__text">{letter.from}</span>}
      <span className="news__meta">{[letter.date && format.dateTime(letter.date), state].filter(Boolean).join(' · ')}</span>
    </span>
  );
}
