import Button from '@helsenorge/designsystem-react/components/Button';
import { useCallback, useEffect, useRef, useState, type ReactNode, type RefObject } from 'react';
import { Fault } from '../api/client.ts';
import type { ClientRow } from '../api/clients.ts';
import { clients } from '../i18n/clients.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Notice } from '../parts/notice.tsx';
import { FaultNotice } from '../parts/source.tsx';
import type { Tone } from '../parts/state.tsx';

export const STATE_TONES: Record<ClientRow['state'], Tone> = { active: 'good', keyless: 'watch', draft: 'wait', blocked: 'bad', configured: 'quiet' };

/** Something that is done on demand: busy while it runs, a fault when it did not work. */
export function useAct() {
  const [fault, setFault] = useState<Fault>();
  const [isBusy, setBusy] = useState(false);
  const run = useCallback(async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setFault(undefined);
    try {
      await work();
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    } finally {
      setBusy(false);
    }
  }, []);
  return { fault, isBusy, run };
}

/** A form whose first wrong field takes the focus when `errors` changes. */
export function useFirstWrong(errors: object): RefObject<HTMLFormElement | null> {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (Object.keys(errors).length > 0) form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus();
  }, [errors]);
  return form;
}

/** Why the hub refused: our sentence, and the hub's own words where they say which line or key it was. */
export function ActFault({ fault }: { fault: Fault }) {
  const t = useTexts(clients);
  const key = `fault.${fault.code}`;
  if (!(key in clients)) return <FaultNotice fault={fault} />;
  return (
    <Notice variant="error" role="alert">
      <p>{t(key as 'fault.key-used')}</p>
      {fault.detail && (
        <p className="muted" lang="en">
          {fault.detail}
        </p>
      )}
    </Notice>
  );
}

interface SureProps {
  title: string;
  /** What the button says. */
  act: string;
  isDestructive?: boolean;
  onClose: () => void;
  onAct: () => Promise<void>;
  children: ReactNode;
}

/** A question before something is done; it stays open with the reason when it did not work. */
export function Sure({ title, act, isDestructive = false, onClose, onAct, children }: SureProps) {
  const s = useTexts(shell);
  const { fault, isBusy, run } = useAct();
  return (
    <Dialog
      isAlert
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button {...(isDestructive ? { concept: 'destructive' as const } : {})} disabled={isBusy} onClick={() => void run(onAct)}>
            {act}
          </Button>
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      {children}
      {fault && <ActFault fault={fault} />}
    </Dialog>
  );
}

/** A list of choices of which any number is taken. */
export function Checks({ legend, options, taken, onChange }: { legend: string; options: readonly (readonly [value: string, text: string])[]; taken: ReadonlySet<string>; onChange: (taken: Set<string>) => void }) {
  return (
    <fieldset className="checks">
      <legend>{legend}</legend>
      {options.map(([value, text]) => (
        <label key={value}>
          <input
            type="checkbox"
            checked={taken.has(value)}
            onChange={(event) => {
              const next = new Set(taken);
              if (event.target.checked) next.add(value);
              else next.delete(value);
              onChange(next);
            }}
          />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A list of choices of which one is taken. */
export function Radios<V extends string>({ legend, name, options, taken, onChange }: { legend: string; name: string; options: readonly (readonly [value: V, text: string])[]; taken: V; onChange: (taken: V) => void }) {
  return (
    <fieldset className="checks">
      <legend>{legend}</legend>
      {options.map(([value, text]) => (
        <label key={value}>
          <input type="radio" name={name} value={value} checked={taken === value} onChange={() => onChange(value)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}
