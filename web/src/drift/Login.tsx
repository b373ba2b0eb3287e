import Button from '@helsenorge/designsystem-react/components/Button';
import { useRef, useState, type FormEvent } from 'react';
import { Fault, post } from '../api/client.ts';
import { useSession } from '../api/session.tsx';
import { drift } from '../i18n/drift.ts';
import { useTexts } from '../i18n/texts.tsx';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { usePath } from '../router.tsx';
import { ActionLink, ExpiredNotice } from '../shell/Frames.tsx';

/** Two ways in: as operator, or for an organisation through HelseID. */
export function LoginPage() {
  const t = useTexts(drift);
  // A link to one page, such as the confirmation of a client, leads there after the login too.
  const back = usePath() + location.search;
  return (
    <Page title={t('login.title')}>
      <ExpiredNotice />
      <div className="logins">
        <Section id="operator" title={t('login.operator')} className="panel">
          <p>{t('login.operator.text')}</p>
          <OperatorForm />
        </Section>
        <Section id="party" title={t('login.party')} className="panel">
          <p>{t('login.party.text')}</p>
          <ActionLink href={`/drift/logginn/helseid?retur=${encodeURIComponent(back)}`}>{t('login.party.do')}</ActionLink>
        </Section>
      </div>
    </Page>
  );
}

function OperatorForm() {
  const t = useTexts(drift);
  const { reload } = useSession();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [errors, setErrors] = useState<{ username?: string; password?: string }>({});
  const [fault, setFault] = useState<Fault>();
  const [isBusy, setBusy] = useState(false);
  const userField = useRef<HTMLInputElement>(null);
  const passwordField = useRef<HTMLInputElement>(null);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setFault(undefined);
    const found = {
      ...(username.trim() ? {} : { username: t('login.missing.username') }),
      ...(password ? {} : { password: t('login.missing.password') }),
    };
    setErrors(found);
    if (found.username) return userField.current?.focus();
    if (found.password) return passwordField.current?.focus();
    setBusy(true);
    try {
      await post('/api/drift/login', { username: username.trim(), password });
      await reload();
    } catch (cause) {
      const why = cause instanceof Fault ? cause : new Fault(0, 'unknown');
      if (why.code === 'wrong-login') {
        setErrors({ password: t('login.wrong') });
        passwordField.current?.focus();
      } else {
        setFault(why);
      }
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={(event) => void submit(event)} noValidate className="stack">
      <TextField
        ref={userField}
        label={t('login.username')}
        name="username"
        autoComplete="username"
        value={username}
        onChange={(event) => setUsername(event.target.value)}
        error={errors.username}
      />
      <TextField
        ref={passwordField}
        label={t('login.password')}
        name="password"
        type="password"
        autoComplete="current-password"
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        error={errors.password}
      />
      {fault && <FaultNotice fault={fault} />}
      <Button type="submit" disabled={isBusy}>
        {t('login.do')}
      </Button>
    </form>
  );
}
