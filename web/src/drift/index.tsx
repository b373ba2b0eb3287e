import { PARTY_MAP } from '../api/parties.ts';
import { useSession } from '../api/session.tsx';
import { apis } from '../i18n/apis.ts';
import { approval } from '../i18n/approval.ts';
import { clients } from '../i18n/clients.ts';
import { counts } from '../i18n/counts.ts';
import { drift } from '../i18n/drift.ts';
import { parties } from '../i18n/parties.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { match, usePath } from '../router.tsx';
import { NotFound } from '../shell/Frames.tsx';
import { Shell } from '../shell/Shell.tsx';
import { ApiPage } from './Api.tsx';
import { ApisPage } from './Apis.tsx';
import { ApprovalPage } from './Approval.tsx';
import { ApprovalsPage } from './Approvals.tsx';
import { ClientPage } from './Client.tsx';
import { ClientNewPage } from './ClientNew.tsx';
import { ClientsPage } from './Clients.tsx';
import { CountsPage } from './Counts.tsx';
import './drift.css';
import { HealthPage } from './Health.tsx';
import { LoginPage } from './Login.tsx';
import { MessagePage } from './Message.tsx';
import { MessagesPage } from './Messages.tsx';
import { PartiesPage } from './Parties.tsx';
import { PartyPageView } from './Party.tsx';
import { PartyMapPage } from './PartyMap.tsx';
import { TimelinePage } from './Timeline.tsx';
import { ValidatorPage } from './Validator.tsx';

/** The operator's portal, and an organisation's own view of its messages. */
export default function Drift() {
  const t = useTexts(drift);
  const c = useTexts(clients);
  const a = useTexts(apis);
  const p = useTexts(parties);
  const n = useTexts(counts);
  const g = useTexts(approval);
  const { view } = useSession();
  const menu = [
    { href: '/drift', text: t('menu.home') },
    { href: '/drift/meldinger', text: t('menu.messages') },
    { href: '/drift/teller', text: n('menu') },
    { href: '/drift/validator', text: t('menu.validator') },
    { href: '/drift/samsvar', text: g('menu') },
    ...(view?.is_demo ? [{ href: '/drift/tidslinje', text: t('menu.timeline') }] : []),
    { href: '/drift/parter', text: p('menu') },
    { href: '/drift/klienter', text: c('menu') },
    { href: '/drift/api', text: a('menu') },
    { href: '/drift/tilstand', text: t('menu.health') },
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
  if (view?.kind !== 'operator' && view?.kind !== 'party') return <LoginPage />;
  const message = match('/drift/meldinger/:id', path);
  const client = match('/drift/klienter/:id', path);
  const api = match('/drift/api/:audience', path);
  const party = match('/drift/parter/:her', path);
  const run = match('/drift/samsvar/:id', path);
  if (path === '/drift') return <Overview />;
  if (path === '/drift/meldinger') return <MessagesPage />;
  if (message?.['id']) return <MessagePage key={message['id']} id={message['id']} />;
  if (path === '/drift/teller') return <CountsPage />;
  if (path === '/drift/validator') return <ValidatorPage />;
  if (path === '/drift/samsvar') return <ApprovalsPage />;
  if (run?.['id']) return <ApprovalPage key={run['id']} id={decodeURIComponent(run['id'])} />;
  if (path === '/drift/tidslinje' && view.is_demo) return <TimelinePage />;
  if (path === '/drift/klienter') return <ClientsPage />;
  if (path === '/drift/klienter/ny') return <ClientNewPage />;
  if (client?.['id']) return <ClientPage key={client['id']} id={decodeURIComponent(client['id'])} />;
  if (path === '/drift/api') return <ApisPage />;
  if (api?.['audience']) return <ApiPage key={api['audience']} audience={decodeURIComponent(api['audience'])} />;
  if (path === '/drift/parter') return <PartiesPage />;
  if (path === PARTY_MAP) return <PartyMapPage />;
  if (party?.['her']) return <PartyPageView key={party['her']} herId={party['her']} />;
  if (path === '/drift/tilstand') return <HealthPage />;
  return <NotFound home="/drift" />;
}

function Overview() {
  const t = useTexts(drift);
  const c = useTexts(clients);
  const a = useTexts(apis);
  const p = useTexts(parties);
  const n = useTexts(counts);
  const g = useTexts(approval);
  const { view } = useSession();
  const tiles = [
    ['/drift/meldinger', t('menu.messages'), t('home.messages')],
    ['/drift/teller', n('menu'), n('tile')],
    ['/drift/validator', t('menu.validator'), t('home.validator')],
    ['/drift/samsvar', g('menu'), g('tile')],
    ...(view?.is_demo ? [['/drift/tidslinje', t('menu.timeline'), t('home.timeline')]] : []),
    ['/drift/parter', p('menu'), p('tile')],
    ['/drift/klienter', c('menu'), c('tile')],
    ['/drift/api', a('menu'), a('tile')],
    ['/drift/tilstand', t('menu.health'), t('home.health')],
  ] as const;
  const isParty = view?.kind === 'party';
  return (
    <Page title={t('home.title')}>
      <p className="lead">{isParty ? t('home.party', { organisation: view.organisation ?? '' }) : t('home.operator')}</p>
      <ul className="tiles">
        {tiles.map(([href, title, text]) => (
          <li key={href}>
            <a className="tile" href={href}>
              <span className="tile__title">{title}</span>
              <span className="tile__text">{text}</span>
            </a>
          </li>
        ))}
      </ul>
    </Page>
  );
}
