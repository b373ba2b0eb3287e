import type { ReactNode } from 'react';
import { useSession } from '../api/session.tsx';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { Notice } from '../parts/notice.tsx';

/** A page that does not exist. */
export function NotFound({ home }: { home: string }) {
  const t = useTexts(shell);
  return (
    <Page title={t('notFound')}>
      <p>{t('notFound.text')}</p>
      <p>
        <a href={home}>{t('notFound.home')}</a>
      </p>
    </Page>
  );
}

/** Help that is the same for everybody. */
export function Help() {
  const t = useTexts(shell);
  return (
    <Page title={t('help.title')}>
      <div className="prose">
        <h2>{t('help.urgent')}</h2>
        <p>{t('help.urgent.text')}</p>
        <h2>{t('help.keys')}</h2>
        <p>{t('help.keys.text')}</p>
        <h2>{t('help.read')}</h2>
        <p>{t('help.read.text')}</p>
        <h2>{t('help.private')}</h2>
        <p>{t('help.private.text')}</p>
      </div>
    </Page>
  );
}

/** Said above the login when the session ended by itself. */
export function ExpiredNotice() {
  const t = useTexts(shell);
  const { hasExpired } = useSession();
  if (!hasExpired) return null;
  return (
    <Notice title={t('expired.title')}>
      <p>{t('expired.text')}</p>
    </Notice>
  );
}

/** A link that looks like the main button. */
export function ActionLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <a className="action-link" href={href}>
      {children}
    </a>
  );
}
