import { useEffect, useId, useRef, type ReactNode } from 'react';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';

interface DialogProps {
  title: string;
  onClose: () => void;
  /** Buttons, the main one first. */
  actions: ReactNode;
  children: ReactNode;
  isAlert?: boolean;
}

/**
 * A dialog on the browser's own `<dialog>`: it keeps the focus inside, closes by Esc, makes the page behind inert, and
 * gives the focus back to what opened it.
 */
export function Dialog({ title, onClose, actions, children, isAlert = false }: DialogProps) {
  const t = useTexts(shell);
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    return () => {
      element?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={id}
      role={isAlert ? 'alertdialog' : undefined}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div className="dialog__head">
        <h2 id={id} tabIndex={-1} autoFocus>
          {title}
        </h2>
        <button type="button" className="quiet-button" onClick={onClose}>
          {t('close')}
        </button>
      </div>
      <div className="dialog__body">{children}</div>
      <div className="dialog__actions">{actions}</div>
    </dialog>
  );
}
