import type { LetterView } from '../api/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { letter as texts } from '../i18n/letter.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Facts } from './facts.tsx';
import { Trouble } from './source.tsx';

/** A letter as its sender wrote it; the headings are ours. Used by the citizen's and the personnel's pages. */
export function LetterBody({ letter }: { letter: LetterView }) {
  const t = useTexts(texts);
  const format = useFormat();
  const period = letter.period?.filter((p): p is string => Boolean(p)).map((p) => format.date(p)) ?? [];
  return (
    <>
      <Facts
        rows={[
          [t('fromLabel'), letter.from],
          [t('author'), letter.author],
          [t('date'), letter.date && format.dateTime(letter.date)],
          [t('period'), [...new Set(period)].join(' – ')],
        ]}
      />
      {letter.sections.length === 0 ? (
        <Trouble text={t('unread')} variant="info" />
      ) : (
        <article className="letter">
          <p className="muted">{t('asWritten')}</p>
          {letter.sections.map((section) => (
            <section key={section.key} aria-labelledby={`letter-${section.key}`}>
              <h2 id={`letter-${section.key}`}>{t(section.key)}</h2>
              <div lang="nb">
                {section.pieces.map((piece, i) => (
                  <div key={i} className="letter__piece">
                    {piece.heading && <h3>{piece.heading}</h3>}
                    {piece.text.map((paragraph, j) => (
                      <p key={j}>{paragraph}</p>
                    ))}
                  </div>
                ))}
              </div>
            </section>
          ))}
        </article>
      )}
    </>
  );
}
