import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { post } from '../api/client.ts';
import type { BasisCode, Choice, Opened } from '../api/personnel.ts';
import { useSession } from '../api/session.tsx';
import { personnel } from '../i18n/personnel.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { match, usePath } from '../router.tsx';
import { ActionLink, ExpiredNotice, NotFound } from '../shell/Frames.tsx';
import { Shell } from '../shell/Shell.tsx';
import './personnel.css';
import { DocumentPage } from './Document.tsx';
import { FindPage } from './Find.tsx';
import { PatientPage } from './Patient.tsx';
import { RecordContext } from './record.tsx';

/** The portal of health personnel. */
export default function Personnel() {
  const t = useTexts(personnel);
  return (
    <Shell menu={[{ href: '/helsepersonell', text: t('menu.find') }]}>
      <Pages />
    </Shell>
  );
}

function Pages() {
  const path = usePath();
  const { view } = useSession();
  if (view?.kind !== 'personnel') return <LoggedOut />;
  return (
    <RecordProvider>
      <Inside path={path} />
    </RecordProvider>
  );
}

function Inside({ path }: { path: string }) {
  const document = match('/helsepersonell/pasient/dokument/:id', path);
  if (path === '/helsepersonell') return <FindPage />;
  if (path === '/helsepersonell/pasient') return <PatientPage />;
  if (document?.['id']) return <DocumentPage key={document['id']} id={document['id']} />;
  return <NotFound home="/helsepersonell" />;
}

function RecordProvider({ children }: { children: ReactNode }) {
  const [choice, setChoice] = useState<Choice>();
  const [opened, setOpened] = useState<Opened>();
  const choose = useCallback(async (nin: string) => {
    setOpened(undefined);
    setChoice(await post<Choice>('/api/personnel/choose', { nin }));
  }, []);
  const open = useCallback(async (basis: BasisCode, part?: string) => {
    const answer = await post<Opened>('/api/personnel/open', part ? { basis, part } : { basis });
    // A part that could not be opened leaves the page as it was.
    if (!part || answer.outcome === 'summary') setOpened(answer);
    return answer;
  }, []);
  const leave = useCallback(() => {
    setChoice(undefined);
    setOpened(undefined);
    void post('/api/personnel/leave').catch(() => undefined);
  }, []);
  const record = useMemo(() => ({ choice, opened, choose, open, leave }), [choice, opened, choose, open, leave]);
  return <RecordContext value={record}>{children}</RecordContext>;
}

function LoggedOut() {
  const t = useTexts(personnel);
  return (
    <Page title={t('out.title')}>
      <ExpiredNotice />
      <p className="lead">{t('out.text')}</p>
      <ActionLink href="/helsepersonell/logginn">{t('out.login')}</ActionLink>
    </Page>
  );
}
