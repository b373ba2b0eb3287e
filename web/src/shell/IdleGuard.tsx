import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useState } from 'react';
import { onActivity } from '../api/client.ts';
import { useSession } from '../api/session.tsx';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';

const ASK_AFTER_MS = 25 * 60_000;
const END_AFTER_MS = 30 * 60_000;
const LOOK_EVERY_MS = 10_000;

/** Asks after 25 minutes without a request, and says so when the hub has ended the session after 30. */
export function IdleGuard() {
  const t = useTexts(shell);
  const { reload, logOut, expire } = useSession();
  const [idleMs, setIdle] = useState(0);
  useEffect(() => {
    // Wall time, not a countdown: a sleeping computer counts, too.
    let seen = Date.now();
    const stop = onActivity(() => {
      seen = Date.now();
      setIdle(0);
    });
    const timer = setInterval(() => setIdle(Date.now() - seen), LOOK_EVERY_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, []);
  const isOver = idleMs >= END_AFTER_MS;
  useEffect(() => {
    if (isOver) expire();
  }, [isOver, expire]);
  if (idleMs < ASK_AFTER_MS || isOver) return null;
  const minutes = Math.max(1, Math.ceil((END_AFTER_MS - idleMs) / 60_000));
  const stay = () => {
    setIdle(0);
    void reload();
  };
  return (
    <Dialog
      isAlert
      title={t('idle.title')}
      onClose={stay}
      actions={
        <>
          <Button onClick={stay}>{t('idle.stay')}</Button>
          <Button variant="outline" onClick={() => void logOut()}>
            {t('logout')}
          </Button>
        </>
      }
    >
      <p>{t('idle.text', { minutes })}</p>
    </Dialog>
  );
}
