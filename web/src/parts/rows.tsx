import type { ReactNode } from 'react';

/** Things to open, one per line: the whole line is the link. */
export function Rows({ children }: { children: ReactNode }) {
  return <ul className="rows">{children}</ul>;
}

interface RowProps {
  href: string;
  title: ReactNode;
  text?: ReactNode;
  meta?: ReactNode;
}

/** One line. */
export function Row({ href, title, text, meta }: RowProps) {
  return (
    <li>
      <a className="row" href={href}>
        <span className="row__text">
          <span className="row__title">{title}</span>
          {text && <span>{text}</span>}
          {meta && <span className="muted">{meta}</span>}
        </span>
        <svg className="row__arrow" viewBox="0 0 12 20" width="12" height="20" aria-hidden="true">
          <path d="m2 2 8 8-8 8" fill="none" stroke="currentColor" strokeWidth="2.5" strokeLinecap="round" strokeLinejoin="round" />
        </svg>
      </a>
    </li>
  );
}
