import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';

/** Languages of the pages. A new one is a new member of `Text`: the compiler then names every missing sentence. */
export const LANGUAGES = ['nb', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

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

function kept(): Language {
  try {
    const value = localStorage.getItem(KEPT);
    if (value === 'nb' || value === 'en') return value;
  } catch {
    // Storage may be closed: the choice then lasts until the page is left.
  }
  return 'nb';
}

interface LanguageChoice {
  language: Language;
  setLanguage: (language: Language) => void;
}

const Context = createContext<LanguageChoice>({ language: 'nb', setLanguage: () => undefined });

/** Holds the chosen language, remembers it and tells the browser (`html lang`). */
export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, set] = useState<Language>(kept);
  const setLanguage = useCallback((next: Language) => {
    set(next);
    try {
      localStorage.setItem(KEPT, next);
    } catch {
      // As above.
    }
  }, []);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const choice = useMemo(() => ({ language, setLanguage }), [language, setLanguage]);
  return <Context value={choice}>{children}</Context>;
}

/** The chosen language. */
export function useLanguage(): LanguageChoice {
  return useContext(Context);
}

/** The sentences of a part, in the chosen language. */
export function useTexts<T extends Texts>(texts: T): Translate<T> {
  const { language } = useLanguage();
  return useCallback(
    ((key: keyof T, params?: Record<string, string | number>) => {
      const text = texts[key];
      return text === undefined ? String(key) : fill(text[language], params);
    }) as Translate<T>,
    [texts, language],
  );
}

/** A text that comes from the hub in both languages. */
export function pick(text: Text | string | null | undefined, language: Language): string {
  if (text === null || text === undefined) return '';
  return typeof text === 'string' ? text : text[language];
}
