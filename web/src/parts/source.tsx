import Button from '@helsenorge/designsystem-react/components/Button';
import Loader from '@helsenorge/designsystem-react/components/Loader';
import { useEffect, useState, type ReactNode } from 'react';
import type { Fault } from '../api/client.ts';
import type { Load } from '../api/load.ts';
import { useFormat, type Moment } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Notice } from './notice.tsx';

/** How a source answered; an empty list never says by itself which of these it is. */
export type SourceState = 'ok' | 'empty' | 'error' | 'denied' | 'closed';

const PATIENCE_MS = 400;

/** Waiting; nothing is shown before it is worth a word. */
export function Waiting({ text }: { text?: string }) {
  const t = useTexts(shell);
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="waiting" role="status">
      {isShown && (
        <>
          <span aria-hidden="true">
            <Loader size="small" />
          </span>
          <span>{text ?? t('loading')}</span>
        </>
      )}
    </div>
  );
}

/** Nothing here, said in a sentence. */
export function Empty({ text, at, children }: { text: string; at?: Moment | undefined; children?: ReactNode }) {
  const t = useTexts(shell);
  const format = useFormat();
  return (
    <div className="empty">
      <p>
        {text} {at !== undefined && <span className="muted">{t('source.asked', { time: format.time(at) })}</span>}
      </p>
      {children}
    </div>
  );
}

/** The sentence for a failed request. */
export function useFaultText(): (fault: Fault) => string {
  const t = useTexts(shell);
  return (fault) => {
    if (fault.code === 'offline') return t('fault.offline');
    if (fault.code === 'timeout') return t('fault.timeout');
    if (fault.code === 'csrf') return t('fault.csrf');
    if (fault.status === 409) return t('fault.conflict');
    if (fault.status === 404) return t('fault.missing');
    return t('fault.other');
  };
}

interface TroubleProps {
  text: string;
  eventId?: string | undefined;
  onRetry?: (() => void) | undefined;
  variant?: 'warn' | 'error' | 'info';
}

/** What went wrong at its place, and what to do; the rest of the page works. */
export function Trouble({ text, eventId, onRetry, variant = 'warn' }: TroubleProps) {
  const t = useTexts(shell);
  return (
    <Notice variant={variant} role={variant === 'info' ? 'status' : 'alert'}>
      <p>{text}</p>
      {eventId && (
        <p className="muted">
          <code>{t('event', { id: eventId })}</code>
        </p>
      )}
      {onRetry && (
        <Button variant="borderless" onClick={onRetry}>
          {t('retry')}
        </Button>
      )}
    </Notice>
  );
}

/** A failed request at its place. */
export function FaultNotice({ fault, onRetry }: { fault: Fault; onRetry?: () => void }) {
  const say = useFaultText();
  return <Trouble text={say(fault)} eventId={fault.eventId} onRetry={onRetry} variant={fault.status === 404 ? 'info' : 'warn'} />;
}

interface SourceProps {
  state: SourceState;
  /** What the source is called in the middle of a sentence, such as "Prøvesvar". */
  source: string;
  empty: string;
  at: Moment | undefined;
  onRetry?: () => void;
  closed?: ReactNode;
  children: ReactNode;
}

/** Shows a list, or says in words why there is none. */
export function Source({ state, source, empty, at, onRetry, closed, children }: SourceProps) {
  const t = useTexts(shell);
  const format = useFormat();
  const time = at === undefined ? '' : format.time(at);
  switch (state) {
    case 'ok':
      return children;
    case 'empty':
      return <Empty text={empty} at={at} />;
    case 'error':
      return <Trouble text={t('source.down.named', { source, time })} onRetry={onRetry} />;
    case 'denied':
      return <Trouble text={t('source.denied')} variant="info" />;
    case 'closed':
      return closed ?? <Trouble text={t('source.closed')} variant="info" />;
  }
}

interface LoadedProps<T> {
  load: Load<T>;
  waiting?: string;
  children: (data: T) => ReactNode;
}

/** A view model, or waiting for it, or why it did not come. Old data stay while new are asked for. */
export function Loaded<T>({ load, waiting, children }: LoadedProps<T>) {
  if (load.data !== undefined) {
    return (
      <>
        {load.fault && <FaultNotice fault={load.fault} onRetry={load.reload} />}
        {children(load.data)}
      </>
    );
  }
  if (load.fault) return <FaultNotice fault={load.fault} onRetry={load.reload} />;
  return <Waiting {...(waiting ? { text: waiting } : {})} />;
}
