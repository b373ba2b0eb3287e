/** The state of a thing: a sign and words, and a colour that adds nothing. */
export type Tone = 'good' | 'wait' | 'watch' | 'bad' | 'quiet';

const SIGNS: Record<Tone, string> = { good: '✓', wait: '…', watch: '!', bad: '✕', quiet: '–' };

/** A sign in a ring with its words. */
export function State({ tone, children }: { tone: Tone; children: string }) {
  return (
    <span className={`state state--${tone}`}>
      <span className="state__sign" aria-hidden="true">
        {SIGNS[tone]}
      </span>
      <span>{children}</span>
    </span>
  );
}

/** Where a value lies against the laboratory's range: a sign, never a colour alone. */
export type FlagCode = 'high' | 'low' | 'outside' | 'inside' | 'no_range';

const FLAG_SIGNS: Record<FlagCode, string> = { high: '▲', low: '▼', outside: '◆', inside: '●', no_range: '–' };

/** The sign of a value with its words. */
export function Flag({ flag, text }: { flag: FlagCode; text: string }) {
  const tone = flag === 'inside' ? 'inside' : flag === 'no_range' ? 'none' : 'outside';
  return (
    <span className={`flag flag--${tone}`}>
      <span className="flag__sign" aria-hidden="true">
        {FLAG_SIGNS[flag]}
      </span>
      <span>{text}</span>
    </span>
  );
}
