import { useMemo } from 'react';
import { useLanguage, type Language } from './texts.tsx';

const ZONE = 'Europe/Oslo';
const LOCALES: Record<Language, string> = { nb: 'nb-NO', en: 'en-GB' };

/** An instant as the hub gives it: microseconds since 1970, or RFC 3339 / FHIR text. */
export type Moment = number | string;

/** Text of a FHIR date that has no time (`2026`, `2026-11`, `2026-11-23`). */
function isDateOnly(moment: Moment): moment is string {
  return typeof moment === 'string' && /^\d{4}(-\d\d){0,2}$/.test(moment);
}

/** As a JavaScript date; `undefined` for what is not a date. */
export function toDate(moment: Moment): Date | undefined {
  const date =
    typeof moment === 'number'
      ? new Date(moment / 1000)
      : // Noon: a date without time must not move to another day in our time zone.
        new Date(isDateOnly(moment) ? `${moment.padEnd(10, '-01').slice(0, 10)}T12:00:00Z` : moment);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** Microseconds since 1970, for sorting and comparing. */
export function toMicros(moment: Moment | null | undefined): number {
  if (typeof moment === 'number') return moment;
  return (moment ? (toDate(moment)?.getTime() ?? 0) : 0) * 1000;
}

/** Dates, times and numbers in the chosen language (spec/portals.md §1.2). */
export interface Format {
  /** `12. mars 2026` */
  date(moment: Moment): string;
  /** `12.03.2026` */
  shortDate(moment: Moment): string;
  /** `kl. 13.30` */
  time(moment: Moment): string;
  /** `13.30.05` */
  seconds(moment: Moment): string;
  /** Date, and time when there is one. */
  dateTime(moment: Moment): string;
  /** Short date, and time when there is one. */
  shortDateTime(moment: Moment): string;
  /** The day, for grouping. */
  day(moment: Moment): string;
  /** A decimal as written, with the decimal sign of the language. */
  decimal(written: string): string;
  /** A whole number with grouping. */
  count(n: number): string;
}

function make(language: Language): Format {
  const locale = LOCALES[language];
  const of = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, { timeZone: ZONE, ...options });
  const long = of({ day: 'numeric', month: 'long', year: 'numeric' });
  const month = of({ month: 'long', year: 'numeric' });
  const short = of({ day: '2-digit', month: '2-digit', year: 'numeric' });
  const clock = of({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const exact = of({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const iso = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE });
  const whole = new Intl.NumberFormat(locale);
  const dotted = (text: string) => (language === 'nb' ? text.replaceAll(':', '.') : text);
  const show = (moment: Moment, format: (date: Date) => string) => {
    const date = toDate(moment);
    return date ? format(date) : String(moment);
  };
  const format: Format = {
    date: (m) => {
      if (typeof m === 'string' && /^\d{4}$/.test(m)) return m;
      if (typeof m === 'string' && /^\d{4}-\d\d$/.test(m)) return show(m, (d) => month.format(d));
      return show(m, (d) => long.format(d));
    },
    shortDate: (m) => (typeof m === 'string' && /^\d{4}(-\d\d)?$/.test(m) ? format.date(m) : show(m, (d) => short.format(d))),
    time: (m) => show(m, (d) => (language === 'nb' ? `kl. ${dotted(clock.format(d))}` : clock.format(d))),
    seconds: (m) => show(m, (d) => dotted(exact.format(d))),
    dateTime: (m) => (isDateOnly(m) ? format.date(m) : `${format.date(m)} ${language === 'en' ? 'at ' : ''}${format.time(m)}`),
    shortDateTime: (m) => (isDateOnly(m) ? format.shortDate(m) : `${format.shortDate(m)} ${format.time(m)}`),
    day: (m) => show(m, (d) => iso.format(d)),
    decimal: (written) => (language === 'nb' ? written.replace(/^([<>≤≥]?=?\s?-?\d+)\.(\d+)$/, '$1,$2') : written),
    count: (n) => whole.format(n),
  };
  return format;
}

/** Dates, times and numbers in the chosen language. */
export function useFormat(): Format {
  const { language } = useLanguage();
  return useMemo(() => make(language), [language]);
}
