import { useId, type InputHTMLAttributes, type ReactNode, type Ref, type SelectHTMLAttributes } from 'react';

interface TextFieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, 'width'> {
  label: string;
  hint?: string;
  error?: string | undefined;
  /** About how many characters it is meant for. */
  size?: number;
  ref?: Ref<HTMLInputElement>;
}

/** A text field with its label, hint and error; the error is announced and tied to the field. */
export function TextField({ label, hint, error, size = 20, ...input }: TextFieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div className={error ? 'field field--wrong' : 'field'}>
      <label htmlFor={id}>{label}</label>
      {hint && (
        <p className="field__hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <input
        {...input}
        id={id}
        style={{ width: `calc(${size}ch + 2rem)` }}
        aria-invalid={error ? true : undefined}
        aria-describedby={described || undefined}
      />
      <FieldError id={`${id}-error`} text={error} />
    </div>
  );
}

/** What is wrong with a field. */
export function FieldError({ id, text }: { id: string; text?: string | undefined }) {
  return (
    <div role="alert">
      {text && (
        <p className="field__error" id={id}>
          <span aria-hidden="true">✕ </span>
          {text}
        </p>
      )}
    </div>
  );
}

interface SelectFieldProps extends SelectHTMLAttributes<HTMLSelectElement> {
  label: string;
  children: ReactNode;
}

/** A choice from a list with its label. */
export function SelectField({ label, children, ...select }: SelectFieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select {...select} id={id}>
        {children}
      </select>
    </div>
  );
}
