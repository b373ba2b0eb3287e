import { useEffect, useRef, type ReactNode } from 'react';
import { useSession } from '../api/session.tsx';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { isFirstPage } from '../router.tsx';

/** A step on the way to the page. */
export interface Crumb {
  text: string;
  href?: string;
}

interface PageProps {
  title: string;
  /** In the browser's tab and history, when the title names a patient. */
  tabTitle?: string;
  /** Before the title, from the front page down. */
  crumbs?: readonly Crumb[];
  /** Beside the title. */
  actions?: ReactNode;
  intro?: ReactNode;
  isWide?: boolean;
  children: ReactNode;
}

/** One page: takes the focus to its title when it is changed to, and names itself in the browser's tab. */
export function Page({ title, tabTitle = title, crumbs = [], actions, intro, isWide = false, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const t = useTexts(shell);
  const format = useFormat();
  const { view } = useSession();
  useEffect(() => {
    if (!isFirstPage()) heading.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    document.title = `${tabTitle} – Helsenav`;
  }, [tabTitle]);
  return (
    <div className={isWide ? 'page page--wide' : 'page'}>
      {crumbs.length > 0 && (
        <nav className="crumbs" aria-label={t('crumbs')}>
          <ol>
            {crumbs.map((crumb) => (
              <li key={crumb.text}>{crumb.href ? <a href={crumb.href}>{crumb.text}</a> : crumb.text}</li>
            ))}
          </ol>
        </nav>
      )}
      {view?.name && <p className="print-head">{t('print.head', { name: view.name, time: format.dateTime(view.now) })}</p>}
      <div className="page__head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {actions && <div className="page__actions">{actions}</div>}
      </div>
      {intro && <div className="page__intro">{intro}</div>}
      {children}
    </div>
  );
}

/** Prints the page. */
export function PrintButton() {
  const t = useTexts(shell);
  return (
    <button type="button" className="quiet-button" onClick={() => window.print()}>
      {t('print')}
    </button>
  );
}

/** A part of a page with its heading. */
export function Section({ id, title, aside, children, className }: { id?: string; title: string; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={className ? `section ${className}` : 'section'} aria-labelledby={id}>
      <div className="section__head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}
