import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, useSyncExternalStore, type ReactNode } from 'react';
import { useSession } from '../api/session.tsx';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { role } from '../i18n/words.ts';
import { Trouble, Waiting, useFaultText } from '../parts/source.tsx';
import { usePath } from '../router.tsx';
import { IdleGuard } from './IdleGuard.tsx';
import { Mark } from './Mark.tsx';

/** An entry of the portal's own menu. */
export interface MenuEntry {
  href: string;
  text: string;
}

interface ShellProps {
  menu: readonly MenuEntry[];
  children: ReactNode;
}

/** What stands around every page (spec/portals.md §2): the order is that of the keyboard. */
export function Shell({ menu, children }: ShellProps) {
  const t = useTexts(shell);
  const { view, fault, reload } = useSession();
  const say = useFaultText();
  return (
    <>
      <a className="skip" href="#innhold">
        {t('skip')}
      </a>
      <Header menu={view?.kind ? menu : []} />
      {view?.is_demo && <DemoBand now={view.now} />}
      <OfflineBand />
      <main id="innhold" tabIndex={-1}>
        {view ? (
          children
        ) : (
          <div className="page">
            {fault ? <Trouble text={say(fault)} eventId={fault.eventId} onRetry={() => void reload()} /> : <Waiting />}
          </div>
        )}
      </main>
      <Footer />
      {view?.kind && <IdleGuard />}
    </>
  );
}

function Header({ menu }: { menu: readonly MenuEntry[] }) {
  const t = useTexts(shell);
  const path = usePath();
  const { portal } = useSession();
  const portals = [
    ['citizen', '/', t('portal.citizen')],
    ['personnel', '/helsepersonell', t('portal.personnel')],
    ['drift', '/drift', t('portal.drift')],
  ] as const;
  return (
    <header className="header">
      <div className="header__bar">
        <a className="brand" href="/" aria-label={t('home')}>
          <Mark />
          <span>helsenav</span>
        </a>
        <nav className="header__portals" aria-label={t('portals')}>
          <ul>
            {portals.map(([key, href, text]) => (
              <li key={key}>
                <a href={href} aria-current={portal === key ? 'true' : undefined}>
                  {text}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <LanguageSwitch />
        <Who />
      </div>
      {menu.length > 0 && (
        <nav className="header__menu" aria-label={t('menu')}>
          <ul>
            {menu.map((entry) => (
              <li key={entry.href}>
                <a href={entry.href} aria-current={isCurrent(entry.href, path) ? 'page' : undefined}>
                  {entry.text}
                </a>
              </li>
            ))}
          </ul>
        </nav>
      )}
    </header>
  );
}

function isCurrent(href: string, path: string): boolean {
  const isRoot = href === '/' || href === '/helsepersonell' || href === '/drift';
  return isRoot ? path === href : path === href || path.startsWith(`${href}/`);
}

function LanguageSwitch() {
  const t = useTexts(shell);
  const { shown, offered, setLanguage } = useLanguage();
  return (
    <div className="languages" role="group" aria-label={t('language')}>
      {offered.map((other) => (
        <button key={other} type="button" lang={other} aria-pressed={other === shown} onClick={() => setLanguage(other)}>
          {t(`language.${other}`)}
        </button>
      ))}
    </div>
  );
}

function Who() {
  const t = useTexts(shell);
  const { language } = useLanguage();
  const { view, logOut } = useSession();
  if (!view?.kind) return null;
  const place = [view.kind === 'personnel' && view.role ? role(view.role, language) : null, view.organisation, view.department];
  const text = place.filter(Boolean).join(', ');
  return (
    <div className="who">
      <span className="who__name">
        <span className="hidden">{t('loggedInAs')} </span>
        <strong>{view.name}</strong>
        {text && <small>{text}</small>}
      </span>
      <Button variant="borderless" onClick={() => void logOut()}>
        {t('logout')}
      </Button>
    </div>
  );
}

function DemoBand({ now }: { now: string }) {
  const t = useTexts(shell);
  const format = useFormat();
  const [isHidden, setHidden] = useState(false);
  if (isHidden) return null;
  return (
    <aside className="demo-band" aria-label={t('demo.label')}>
      <p>{t('demo', { time: format.dateTime(now) })}</p>
      <button type="button" className="quiet-button" onClick={() => setHidden(true)}>
        {t('demo.hide')}
      </button>
    </aside>
  );
}

function watchConnection(listener: () => void): () => void {
  window.addEventListener('online', listener);
  window.addEventListener('offline', listener);
  return () => {
    window.removeEventListener('online', listener);
    window.removeEventListener('offline', listener);
  };
}

function OfflineBand() {
  const t = useTexts(shell);
  const isOnline = useSyncExternalStore(watchConnection, () => navigator.onLine);
  return <div role="status">{!isOnline && <p className="offline-band">{t('offline')}</p>}</div>;
}

function Footer() {
  const t = useTexts(shell);
  return (
    <footer className="footer" aria-label={t('footer.label')}>
      <p>{t('footer.about')}</p>
      <a href="/hjelp">{t('help')}</a>
    </footer>
  );
}
