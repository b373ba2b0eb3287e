import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { usePath } from '../router.tsx';

/** Languages of all pages. A new one is a new member of `Text`: the compiler then names every missing sentence. */
export const LANGUAGES = ['nb', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

/**
 * Languages that only some pages have: the self-service pages, whose readers work all over the country. Their sentences lie
 * in a table by the bokmål one, loaded when somebody chooses it; what is not there stays bokmål.
 */
export const MORE_LANGUAGES = ['nn', 'se'] as const;
export type MoreLanguage = (typeof MORE_LANGUAGES)[number];
export type AnyLanguage = Language | MoreLanguage;

/** Whether a page has all four. */
export function hasAllLanguages(path: string): boolean {
  return /^\/drift\/(klienter|api|samsvar)(\/|$)/.test(path);
}

/** One sentence in every language. `{name}` is filled in. */
export type Text = { readonly [L in Language]: string };
/** All sentences of a part of the pages, by key. */
export type Texts = Readonly<Record<string, Text>>;

type Params<S extends string> = S extends `${string}{${infer P}}${infer Rest}` ? P | Params<Rest> : never;
type ArgsOf<T extends Text> = [Params<T['nb']>] extends [never]
  ? []
  : [params: { readonly [P in Params<T['nb']>]: string | number }];

/** Looks a sentence up by key; asks for exactly the values that it has places for. */
export type Translate<T extends Texts> = <K extends keyof T>(key: K, ...args: ArgsOf<T[K]>) => string;

/** Fills `{name}` in. */
export function fill(sentence: string, params: Readonly<Record<string, string | number>> = {}): string {
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}

const KEPT = 'helsenav.language';

function kept(): AnyLanguage {
  try {
    const value = localStorage.getItem(KEPT);
    if (value === 'nb' || value === 'en' || value === 'nn' || value === 'se') return value;
  } catch {
    // Storage may be closed: the choice then lasts until the page is left.
  }
  return 'nb';
}

type Table = Readonly<Record<string, string>>;

async function tableOf(language: MoreLanguage): Promise<Table> {
  return language === 'nn' ? (await import('./nn.ts')).nn : (await import('./se.ts')).se;
}

interface LanguageChoice {
  /** What dates, names and most pages are written in. */
  language: Language;
  /** What was chosen, as far as this page has it. */
  shown: AnyLanguage;
  offered: readonly AnyLanguage[];
  table?: Table | undefined;
  setLanguage: (language: AnyLanguage) => void;
}

const Context = createContext<LanguageChoice>({ language: 'nb', shown: 'nb', offered: LANGUAGES, setLanguage: () => undefined });

/** Holds the chosen language, remembers it and tells the browser (`html lang`). */
export function LanguageProvider({ children }: { children: ReactNode }) {
  const [chosen, set] = useState<AnyLanguage>(kept);
  const [table, setTable] = useState<{ of: MoreLanguage; table: Table }>();
  const isWide = hasAllLanguages(usePath());
  const more = isWide && (chosen === 'nn' || chosen === 'se') ? chosen : undefined;
  useEffect(() => {
    if (!more) return;
    let isOld = false;
    // Without the table the page stays bokmål.
    tableOf(more).then(
      (found) => !isOld && setTable({ of: more, table: found }),
      () => undefined,
    );
    return () => {
      isOld = true;
    };
  }, [more]);
  const setLanguage = useCallback((next: AnyLanguage) => {
    set(next);
    try {
      localStorage.setItem(KEPT, next);
    } catch {
      // As above.
    }
  }, []);
  const language: Language = chosen === 'en' ? 'en' : 'nb';
  const loaded = more && table?.of === more ? table.table : undefined;
  const shown: AnyLanguage = more ?? language;
  useEffect(() => {
    document.documentElement.lang = more && loaded ? more : language;
  }, [more, loaded, language]);
  const choice = useMemo(() => {
    const offered = isWide ? [...LANGUAGES, ...MORE_LANGUAGES] : LANGUAGES;
    return { language, shown, offered, table: loaded, setLanguage };
  }, [language, shown, isWide, loaded, setLanguage]);
  return <Context value={choice}>{children}</Context>;
}

/** The chosen language. */
export function useLanguage(): LanguageChoice {
  return useContext(Context);
}

/** The sentences of a part, in the chosen language. */
export function useTexts<T extends Texts>(texts: T): Translate<T> {
  const { language, table } = useLanguage();
  return useCallback(
    ((key: keyof T, params?: Record<string, string | number>) => {
      const text = texts[key];
      return text === undefined ? String(key) : fill(table?.[text.nb] ?? text[language], params);
    }) as Translate<T>,
    [texts, language, table],
  );
}

/** A text that comes from the hub in both languages. */
export function pick(text: Text | string | null | undefined, language: Language): string {
  if (text === null || text === undefined) return '';
  return typeof text === 'string' ? text : text[language];
}
