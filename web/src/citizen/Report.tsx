import type { Analysis, ReportView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { discipline } from '../i18n/words.ts';
import { Facts } from '../parts/facts.tsx';
import { Page, PrintButton, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { Flag, type FlagCode } from '../parts/state.tsx';
import { Notice } from '../parts/notice.tsx';

/** One report: every analysis with the laboratory's own range, in words. */
export function ReportPage({ id }: { id: string }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const load = useLoad<ReportView>(`/api/citizen/results/${encodeURIComponent(id)}`);
  const time = load.data?.time ?? load.data?.issued;
  const title = time ? t('results.report', { date: format.date(time) }) : t('results.title');
  const crumbs = [{ text: 'Helsenav', href: '/' }, { text: t('results.title'), href: '/provesvar' }, { text: title }];
  return (
    <Page title={title} crumbs={crumbs} actions={<PrintButton />}>
      <Loaded load={load} waiting={t('results.loading')}>
        {(report) => <Report report={report} />}
      </Loaded>
    </Page>
  );
}

function Report({ report }: { report: ReportView }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  return (
    <>
      {report.is_cancelled && (
        <Notice>
          {t('results.cancelled.text')}
        </Notice>
      )}
      {!report.is_cancelled && report.amended_at && (
        <Notice>
          {t('results.amended.text', { time: format.dateTime(report.amended_at) })}
        </Notice>
      )}
      <Facts
        rows={[
          [t('results.kind'), discipline(report.discipline, language)],
          [t('results.lab'), report.laboratory],
          [t('results.taken'), report.time && format.dateTime(report.time)],
          [t('results.issued'), report.issued && report.issued !== report.time ? format.dateTime(report.issued) : null],
        ]}
      />
      {report.results.length > 0 && <Analyses results={report.results} />}
      {report.comment && (
        <Section id="comment" title={t('results.comment')}>
          <p lang="nb" className="as-written">
            {report.comment}
          </p>
        </Section>
      )}
      <p className="note">
        {t('results.ask.text')} <strong>{t('results.urgent')}</strong>.
      </p>
    </>
  );
}

function Analyses({ results }: { results: readonly Analysis[] }) {
  const t = useTexts(citizen);
  return (
    <table className="compact compact--blocks compact--roomy">
      <caption className="hidden">{t('results.table')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('results.col.name')}</th>
          <th scope="col">{t('results.col.value')}</th>
          <th scope="col">{t('results.col.range')}</th>
          <th scope="col">{t('results.col.flag')}</th>
        </tr>
      </thead>
      <tbody>
        {results.map((analysis) => (
          <Row key={analysis.id} analysis={analysis} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ analysis }: { analysis: Analysis }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const name = (language === 'en' && analysis.name_en) || analysis.name;
  const isTranslated = language === 'en' && Boolean(analysis.name_en);
  return (
    <tr>
      <th scope="row">
        <strong lang={isTranslated ? 'en' : 'nb'}>{name}</strong>
        <Explanation analysis={analysis} />
      </th>
      <td data-label={t('results.col.value')}>
        <span className="value">
          {format.decimal(analysis.value)} {analysis.unit}
        </span>
      </td>
      <td data-label={t('results.col.range')}>{analysis.range ?? '–'}</td>
      <td data-label={t('results.col.flag')}>
        <Flag flag={analysis.flag} text={t(FLAG_TEXTS[analysis.flag])} />
      </td>
    </tr>
  );
}

const FLAG_TEXTS = {
  high: 'results.high',
  low: 'results.low',
  outside: 'results.out',
  inside: 'results.in',
  no_range: 'results.norange',
} as const satisfies Record<FlagCode, keyof typeof citizen>;

function Explanation({ analysis }: { analysis: Analysis }) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const { language } = useLanguage();
  const isEnglish = language === 'en' && Boolean(analysis.explanation_en);
  const text = isEnglish ? analysis.explanation_en : analysis.explanation;
  return (
    <>
      <details className="more">
        <summary>{t('results.what')}</summary>
        {text ? <p lang={isEnglish ? 'en' : 'nb'}>{text}</p> : <p>{t('results.unexplained')}</p>}
        <p className="muted">
          {s('details')}: {t('results.code')} {analysis.code ?? '–'}
          {analysis.successor && <>. {t('results.successor', { code: analysis.successor })}</>}
        </p>
      </details>
      {analysis.comment && (
        <p className="as-written" lang="nb">
          {analysis.comment}
        </p>
      )}
    </>
  );
}
