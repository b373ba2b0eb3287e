import type { Texts } from './texts.tsx';

/** A letter, as citizens and personnel read it. */
export const letter = {
  'fromLabel': { nb: 'Fra', en: 'From' },
  'author': { nb: 'Skrevet av', en: 'Written by' },
  'date': { nb: 'Dato', en: 'Date' },
  'period': { nb: 'Gjelder', en: 'About' },
  'happened': { nb: 'Hva skjedde', en: 'What happened' },
  'found': { nb: 'Hva er funnet', en: 'What was found' },
  'next': { nb: 'Hva skal skje videre', en: 'What happens next' },
  'medicines': { nb: 'Medisiner', en: 'Medicines' },
  'contact': { nb: 'Hvem kan jeg spørre', en: 'Whom can I ask' },
  'asWritten': {
    nb: 'Teksten vises slik avsenderen skrev den. Bare overskriftene er våre.',
    en: 'The text is shown as the sender wrote it, in Norwegian. Only the headings are ours.',
  },
  'unread': {
    nb: 'Vi kunne ikke dele brevet inn i avsnitt. Du kan laste ned originalen.',
    en: 'The letter could not be shown in sections. You can download the original.',
  },
} as const satisfies Texts;
