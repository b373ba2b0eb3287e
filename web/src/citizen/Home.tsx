import { useState, type ReactNode } from 'react';
import type { CriticalPanel, LogView, Notice, Overview, ReportLine } from '../api/citizen.ts';
import { useLoad } from '../api/load.ts';
import { useNow } from '../api/session.tsx';
import { citizen } from '../i18n/citizen.ts';
import { toMicros, useFormat, type Moment } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { category, documentKind, part } from '../i18n/words.ts';
import { Page, Section } from '../parts/page.tsx';
import { Row, Rows } from '../parts/rows.tsx';
import { Empty, Loaded, Trouble } from '../parts/source.tsx';

const RECENT_US = 7 * 86_400_000_000;
const MOST_NEW = 5;

/** The front page: what is new first, then where everything is. */
export function HomePage() {
  const t = useTexts(citizen);
  const load = useLoad<Overview>('/api/citizen/overview');
  const name = load.data?.name;
  return (
    <Page title={name ? t('home.hello', { name }) : t('home.hello.nameless')}>
      <Loaded load={load}>{(overview) => <Home overview={overview} onRetry={load.reload} />}</Loaded>
    </Page>
  );
}

function Home({ overview, onRetry }: { overview: Overview; onRetry: () => void }) {
  const t = useTexts(citizen);
  return (
    <>
      <News overview={overview} onRetry={onRetry} />
      {overview.critical && <Critical section={overview.critical} onRetry={onRetry} />}
      <Section id="pages" title={t('home.pages')}>
        <ul className="tiles">
          <Tile href="/provesvar" title={t('results.title')} text={t('home.tile.results')} />
          <Tile href="/brev" title={t('letters.title')} text={t('home.tile.letters')} />
          <Tile href="/innsyn" title={t('log.title')} text={t('home.tile.log')} />
          <Tile href="/tilgang" title={t('access.title')} text={t('home.tile.access')} />
        </ul>
      </Section>
      <Section id="gp" title={t('home.gp')}>
        {overview.gp ? (
          <p>
            <strong>{overview.gp.name}</strong>
            {overview.gp.office && <>, {overview.gp.office}</>}
          </p>
        ) : (
          <p>{t('home.gp.none')}</p>
        )}
      </Section>
    </>
  );
}

function Tile({ href, title, text }: { href: string; title: string; text: string }) {
  return (
    <li>
      <a className="tile" href={href}>
        <span className="tile__title">{title}</span>
        <span className="tile__text">{text}</span>
      </a>
    </li>
  );
}

interface NewItem {
  key: string;
  at: Moment;
  href: string;
  title: string;
  text?: string;
  isStrong?: boolean;
}

function News({ overview, onRetry }: { overview: Overview; onRetry: () => void }) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const format = useFormat();
  const now = useNow();
  const items = useNewItems(overview);
  const [isAll, setAll] = useState(false);
  const failed = (
    [
      [t('results.title'), overview.results],
      [t('letters.title'), overview.letters],
      [t('log.title'), overview.log],
    ] as const
  ).filter(([, section]) => section.state === 'error' || ('state' in section.content && section.content.state === 'error'));
  return (
    <Section id="new" title={t('home.new')}>
      {failed.map(([source]) => (
        <Trouble key={source} text={s('source.down.named', { source, time: format.time(now) })} onRetry={onRetry} />
      ))}
      {items.length === 0 && failed.length === 0 && <Empty text={t('home.nothing')} />}
      {items.length > 0 && (
        <>
          <Rows>
            {(isAll ? items : items.slice(0, MOST_NEW)).map((item) => (
              <Row key={item.key} href={item.href} title={item.title} text={item.text} meta={format.dateTime(item.at)} />
            ))}
          </Rows>
          {items.length > MOST_NEW && !isAll && (
            <button type="button" className="quiet-button" onClick={() => setAll(true)}>
              {t('home.all', { n: items.length })}
            </button>
          )}
        </>
      )}
    </Section>
  );
}

function useNewItems(overview: Overview): NewItem[] {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  const now = useNow();
  const notice = useNoticeText();
  const summary = useReportSummary();
  const items: NewItem[] = [];
  if (overview.results.state === 'ok') {
    for (const report of overview.results.content.reports) {
      items.push({
        key: `result-${report.id}`,
        at: report.amended_at ?? report.issued ?? report.stored_at,
        href: `/provesvar/${report.id}`,
        title: report.analyses === 1 ? t('home.item.results.one') : t('home.item.results.many', { n: report.analyses }),
        text: [summary(report), report.laboratory].filter(Boolean).join(' · '),
      });
    }
  }
  if (overview.letters.state === 'ok') {
    for (const letter of overview.letters.content.letters) {
      const kind = documentKind(letter.kind, language);
      items.push({
        key: `letter-${letter.id}`,
        at: letter.stored_at,
        href: `/brev/${letter.id}`,
        title: letter.from ? t('letters.from', { kind, from: letter.from }) : kind,
      });
    }
  }
  if (overview.notices.state === 'ok') {
    for (const [i, item] of overview.notices.content.entries()) {
      items.push({ key: `notice-${i}`, at: item.at, href: item.kind === 'elevated-access' ? '/innsyn' : '/tilgang', title: notice(item) });
    }
  }
  if (overview.log.state === 'ok') items.push(...logItems(overview.log.content, now, t));
  return items
    .filter((item) => now - toMicros(item.at) < RECENT_US)
    .sort((a, b) => toMicros(b.at) - toMicros(a.at));
}

/** One item for all look-ups of others, and one for all refused ones. */
function logItems(log: LogView, now: number, t: ReturnType<typeof useTexts<typeof citizen>>): NewItem[] {
  const recent = log.visits.filter((v) => v.head.actor_kind !== 'self' && now - v.head.occurred_at < RECENT_US);
  const looked = recent.filter((v) => !v.is_denied);
  const refused = recent.filter((v) => v.is_denied);
  const items: NewItem[] = [];
  const newest = (visits: typeof recent) => Math.max(...visits.map((v) => v.head.occurred_at));
  if (looked.length > 0) {
    items.push({
      key: 'looked',
      at: newest(looked),
      href: '/innsyn',
      title: looked.length === 1 ? t('home.item.looked.one') : t('home.item.looked.many', { n: looked.length }),
    });
  }
  const attempts = refused.reduce((sum, v) => sum + v.count, 0);
  if (attempts > 0) {
    items.push({
      key: 'refused',
      at: newest(refused),
      href: '/innsyn?vis=avviste',
      title: attempts === 1 ? t('home.item.refused.one') : t('home.item.refused.many', { n: attempts }),
    });
  }
  return items;
}

/** How many results, and whether any is outside: one short sentence. */
export function useReportSummary(): (report: ReportLine) => string {
  const t = useTexts(citizen);
  const format = useFormat();
  return (report) => {
    if (report.is_cancelled) return t('results.cancelled');
    const ranges = report.outside > 0 ? t('results.outside', { n: report.outside }) : t('results.allInside');
    const amended = report.amended_at ? t('results.amended', { time: format.dateTime(report.amended_at) }) : '';
    return [ranges, amended].filter(Boolean).join(' · ');
  };
}

/** The sentence of a notice. */
function useNoticeText(): (notice: Notice) => string {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  return ({ kind, what }) => {
    switch (kind) {
      case 'blocked':
        return what ? t('notice.blocked', { what }) : t('notice.blocked.somebody');
      case 'block-lifted':
        return what ? t('notice.block-lifted', { what }) : t('notice.block-lifted.somebody');
      case 'restricted':
        return t('notice.restricted', { what: part(what ?? 'other', language) });
      case 'restriction-lifted':
        return t('notice.restriction-lifted', { what: part(what ?? 'other', language) });
      case 'referral':
        return what ? t('notice.referral', { what }) : t('notice.referral.somewhere');
      case 'reserved':
      case 'reservation-lifted':
      case 'elevated-access':
        return t(`notice.${kind}`);
    }
  };
}

function Critical({ section, onRetry }: { section: NonNullable<Overview['critical']>; onRetry: () => void }) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const format = useFormat();
  const now = useNow();
  const isDown = section.state === 'error' || section.content.state === 'error';
  return (
    <Section id="critical" title={t('home.critical')}>
      {isDown ? (
        <Trouble text={s('source.down.named', { source: t('home.critical'), time: format.time(now) })} onRetry={onRetry} />
      ) : (
        <CriticalList panel={section.content} />
      )}
    </Section>
  );
}

function CriticalList({ panel }: { panel: CriticalPanel }): ReactNode {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  if (panel.items.length === 0) return <Empty text={t('home.critical.none')} at={panel.asked_at} />;
  return (
    <>
      <p>{t('home.critical.some')}</p>
      <ul className="plain-list">
        {panel.items.map((item) => (
          <li key={item.id}>
            <strong>{category(item.category, language)}:</strong> <span lang="nb">{item.text}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
