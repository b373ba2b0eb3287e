import { useSession } from '../api/session.tsx';
import { citizen } from '../i18n/citizen.ts';
import { useTexts } from '../i18n/texts.tsx';
import { match, usePath } from '../router.tsx';
import { Help, NotFound } from '../shell/Frames.tsx';
import { Shell } from '../shell/Shell.tsx';
import './citizen.css';
import { AccessPage } from './Access.tsx';
import { HomePage } from './Home.tsx';
import { LetterPage } from './Letter.tsx';
import { LettersPage } from './Letters.tsx';
import { LogPage } from './Log.tsx';
import { FrontDoor, LoginFirst } from './LoggedOut.tsx';
import { ReportPage } from './Report.tsx';
import { ResultsPage } from './Results.tsx';

/** The citizen's portal. */
export default function Citizen() {
  const t = useTexts(citizen);
  const menu = [
    { href: '/', text: t('menu.home') },
    { href: '/provesvar', text: t('results.title') },
    { href: '/brev', text: t('letters.title') },
    { href: '/innsyn', text: t('log.short') },
    { href: '/tilgang', text: t('access.short') },
  ];
  return (
    <Shell menu={menu}>
      <Pages />
    </Shell>
  );
}

function Pages() {
  const path = usePath();
  const { view } = useSession();
  if (path === '/hjelp') return <Help />;
  if (view?.kind !== 'citizen') return path === '/' ? <FrontDoor /> : <LoginFirst />;
  const report = match('/provesvar/:id', path);
  const letter = match('/brev/:id', path);
  if (path === '/') return <HomePage />;
  if (path === '/provesvar') return <ResultsPage />;
  if (report?.['id']) return <ReportPage key={report['id']} id={report['id']} />;
  if (path === '/brev') return <LettersPage />;
  if (letter?.['id']) return <LetterPage key={letter['id']} id={letter['id']} />;
  if (path === '/innsyn') return <LogPage />;
  if (path === '/tilgang') return <AccessPage />;
  return <NotFound home="/" />;
}
