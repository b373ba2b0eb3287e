import { citizen } from '../i18n/citizen.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { usePath } from '../router.tsx';
import { ActionLink, ExpiredNotice } from '../shell/Frames.tsx';

function useLoginAddress(): string {
  const { language } = useLanguage();
  const path = usePath();
  return `/logginn?${new URLSearchParams({ retur: path, lang: language })}`;
}

/** The front page of whoever is not logged in. */
export function FrontDoor() {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const login = useLoginAddress();
  return (
    <Page title={t('out.title')}>
      <ExpiredNotice />
      <div className="front-door">
        <ul className="front-door__what">
          <li>{t('out.text.see')}</li>
          <li>{t('out.text.log')}</li>
          <li>{t('out.text.access')}</li>
        </ul>
        <ActionLink href={login}>{s('login')}</ActionLink>
      </div>
      <section className="front-door__others" aria-labelledby="others">
        <h2 id="others">{t('out.others')}</h2>
        <ul>
          <li>
            <a href="/helsepersonell">{t('out.personnel')}</a>
          </li>
          <li>
            <a href="/drift">{t('out.drift')}</a>
          </li>
        </ul>
      </section>
    </Page>
  );
}

/** Any other page, before the login: one comes back to it. */
export function LoginFirst() {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const login = useLoginAddress();
  return (
    <Page title={s('login')}>
      <ExpiredNotice />
      <p>{t('out.page')}</p>
      <ActionLink href={login}>{s('login')}</ActionLink>
    </Page>
  );
}
