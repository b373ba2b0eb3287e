import type { Texts } from './texts.tsx';

/** Feilmakeren: messages that are wrong on purpose. */
export const bad = {
  'title': { nb: 'Feilmakeren', en: 'The maker of faults' },
  'lead': {
    nb: 'Sender meldinger som er gale på hver sin måte, og ser hva navet svarer. Hver time når fortellingen går av seg selv.',
    en: 'Sends messages that are wrong each in its own way, and looks at what the hub answers. Every hour while the story plays by itself.',
  },
  'col.case': { nb: 'Sak', en: 'Case' },
  'col.wrong': { nb: 'Hva som er galt', en: 'What is wrong' },
  'col.answer': { nb: 'Svaret', en: 'The answer' },
  'expected': { nb: 'Skal bli:', en: 'Must be:' },
  'right': { nb: 'Som det skal, {time}', en: 'As it must be, {time}' },
  'wrong': { nb: 'Noe annet, {time}', en: 'Something else, {time}' },
  'not_sent': { nb: 'Ikke sendt ennå', en: 'Not sent yet' },
  'send': { nb: 'Send', en: 'Send' },
  'send.of': { nb: 'Send {id}', en: 'Send {id}' },
  'sending': { nb: 'Sender …', en: 'Sending …' },
} as const satisfies Texts;
