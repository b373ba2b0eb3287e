import type { ReportLine, ResultsView } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { citizen } from '../i18n/citizen.ts';
import { toDate, useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { discipline } from '../i18n/words.ts';
import { Page, PrintButton, Section } from '../parts/page.tsx';
import { Row, Rows } from '../parts/rows.tsx';
import { Loaded, Source } from '../parts/source.tsx';
import { useReportSummary } from './Home.tsx';

/** All reports, newest first, by year. */
export function ResultsPage() {
  const t = useTexts(citizen);
  const load = useLoad<ResultsView>('/api/citizen/results');
  return (
    <Page title={t('results.title')} crumbs={[{ text: 'Helsenav', href: '/' }, { text: t('results.title') }]} actions={<PrintButton />}>
      <Loaded load={load} waiting={t('results.loading')}>
        {(view) => (
          <Source state={view.state} source={t('results.title')} empty={t('results.empty')} at={load.at} onRetry={load.reload}>
            <p className="lead">{t('results.intro')}</p>
            {byYear(view.reports).map(([year, reports]) => (
              <Section key={year} id={`year-${year}`} title={year}>
                <Rows>
                  {reports.map((report) => (
                    <Line key={report.id} report={report} />
                  ))}
                </Rows>
              </Section>
            ))}
          </Source>
        )}
      </Loaded>
    </Page>
  );
}

function Line({ report }: { report: ReportLine }) {
  const t = useTexts(citizen);
  const format = useFormat();
  const { language } = useLanguage();
  const summary = useReportSummary();
  const count = report.analyses === 1 ? t('results.count.one') : t('results.count.many', { n: report.analyses });
  const time = report.time ?? report.issued;
  return (
    <Row
      href={`/provesvar/${report.id}`}
      title={[discipline(report.discipline, language), time && format.date(time)].filter(Boolean).join(', ')}
      text={
        <>
          {report.outside > 0 && !report.is_cancelled && <span aria-hidden="true">◆ </span>}
          {report.is_cancelled ? summary(report) : `${count}, ${summary(report)}`}
        </>
      }
      meta={report.laboratory}
    />
  );
}

function byYear(reports: readonly ReportLine[]): [string, ReportLine[]][] {
  const years = new Map<string, ReportLine[]>();
  for (const report of reports) {
    const year = String(toDate(report.time ?? report.stored_at)?.getFullYear() ?? '');
    years.set(year, [...(years.get(year) ?? []), report]);
  }
  return [...years];
}
