import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { Fault, post } from '../api/client.ts';
import type { Played, StoryKind, StoryState, StoryStep, Timeline } from '../api/drift.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { drift } from '../i18n/drift.ts';
import { toDate, useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, FaultNotice, Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { BadCases } from './BadCases.tsx';

const SIGNS: Record<StoryKind, string> = {
  message: '●',
  look_up: '○',
  setting: '◆',
  emergency: '▲',
  appointment: '◎',
  outside: '□',
};

const TONES: Record<StoryState, Tone> = {
  done: 'good',
  running: 'wait',
  waiting: 'quiet',
  failed: 'bad',
  passed_over: 'quiet',
  earlier: 'quiet',
};
const END = 'end';
const AGAIN = 'again';

/** What a step is called, and who it is about. */
function useStepWords(): { title: (step: StoryStep) => string; observed: (step: StoryStep) => string; name: (person: string) => string } {
  const t = useTexts(drift);
  const { language } = useLanguage();
  return {
    title: (step) => (language === 'nb' ? step.title : step.title_en),
    observed: (step) => (language === 'nb' ? step.observed : step.observed_en) ?? '',
    name: (person) => (person === 'blokk' ? t('timeline.person.blokk') : person),
  };
}
const ASK_EVERY_MS = 5_000;

/** The demo's day: what has happened, and playing on. */
export function TimelinePage() {
  const t = useTexts(drift);
  const load = useLoad<Timeline>('/api/drift/timeline');
  const reload = load.reload;
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [reload]);
  return (
    <Page isWide title={t('timeline.title')}>
      <p className="lead">{t('timeline.intro')}</p>
      <Loaded load={load} waiting={t('timeline.loading')}>
        {(timeline) => <Story timeline={timeline} onChanged={reload} />}
      </Loaded>
    </Page>
  );
}

function Story({ timeline, onChanged }: { timeline: Timeline; onChanged: () => void }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { view, reload: reloadSession } = useSession();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault>();
  const [passedOver, setPassedOver] = useState<string[]>([]);
  const isOperator = view?.kind === 'operator';
  const next = timeline.steps.find((step) => step.state === 'waiting');

  const act = async (path: string, body: unknown) => {
    setBusy(true);
    setFault(undefined);
    try {
      const answer = await post<Played | undefined>(path, body);
      setPassedOver(answer?.passed_over ?? []);
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    } finally {
      setBusy(false);
      onChanged();
      void reloadSession();
    }
  };
  const play = (until: string) => void act('/api/drift/timeline/play', { until });
  const advance = (duration: string) => void act('/api/drift/timeline/advance', { advance: duration });
  return (
    <>
      {timeline.now && <p>{t('timeline.now', { time: format.dateTime(timeline.now) })}</p>}
      {isOperator ? (
        <div className="buttons">
          <Button disabled={isBusy || !next} onClick={() => next && play(next.key)}>
            {isBusy ? t('timeline.playing') : t('timeline.next')}
          </Button>
          {timeline.is_over ? (
            <Button variant="outline" disabled={isBusy} onClick={() => play(AGAIN)}>
              {t('timeline.again')}
            </Button>
          ) : (
            <Button variant="outline" disabled={isBusy || !next} onClick={() => play(END)}>
              {t('timeline.all')}
            </Button>
          )}
          <Button variant="outline" disabled={isBusy} onClick={() => advance(untilMidnight(timeline.now ?? view?.now ?? ''))}>
            {t('timeline.midnight')}
          </Button>
          <Button variant="outline" disabled={isBusy} onClick={() => advance('PT96H')}>
            {t('timeline.hours')}
          </Button>
        </div>
      ) : (
        <p className="muted">{t('timeline.operator')}</p>
      )}
      <div role="status">
        {passedOver.length > 0 && <p className="muted">{t('timeline.passedOver', { steps: passedOver.join(', ') })}</p>}
      </div>
      {fault && <FaultNotice fault={fault} />}
      {timeline.steps.length === 0 ? (
        <Empty text={t('timeline.empty')} />
      ) : (
        <>
          <Chart steps={timeline.steps} />
          <StepTable steps={timeline.steps} {...(isOperator && !isBusy ? { onPlay: play } : {})} />
        </>
      )}
      {timeline.bad_cases && timeline.bad_cases.length > 0 && <BadCases cases={timeline.bad_cases} canSend={isOperator && !isBusy} onChanged={onChanged} />}
    </>
  );
}

const DAY_S = 86_400;
const OSLO_CLOCK = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Oslo', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

function secondOfDay(date: Date): number {
  const [h = 0, m = 0, s = 0] = OSLO_CLOCK.format(date).split(':').map(Number);
  return h * 3_600 + m * 60 + s;
}

/** ISO 8601 duration from `now` to the next midnight in Norway, also on the days that have 23 or 25 hours. */
function untilMidnight(now: string): string {
  const date = toDate(now) ?? new Date();
  const guess = DAY_S - secondOfDay(date);
  const off = secondOfDay(new Date(date.getTime() + guess * 1_000));
  return `PT${guess - (off > DAY_S / 2 ? off - DAY_S : off)}S`;
}

interface Lane {
  person: string;
  steps: StoryStep[];
}

function lanesOf(steps: readonly StoryStep[]): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const step of steps) {
    const lane = lanes.get(step.person) ?? { person: step.person, steps: [] };
    lane.steps.push(step);
    lanes.set(step.person, lane);
  }
  return [...lanes.values()];
}

/** Least distance of two events of a lane, percent of its width: a sign never lies on another. */
const LEAST_GAP = 3.6;

/** Moves events that lie too close to the right, in order. */
function spread(places: readonly (readonly [key: string, percent: number])[]): [string, number][] {
  let last = -LEAST_GAP;
  return [...places]
    .sort((a, b) => a[1] - b[1])
    .map(([key, percent]) => {
      last = Math.max(percent, last + LEAST_GAP);
      return [key, last];
    });
}

/** Persons as lanes, hours as columns. One tab stop; arrows walk: up and down lanes, left and right events. */
function Chart({ steps }: { steps: readonly StoryStep[] }) {
  const t = useTexts(drift);
  const format = useFormat();
  const words = useStepWords();
  const lanes = useMemo(() => lanesOf(steps), [steps]);
  const [chosen, setChosen] = useState<string>();
  const chart = useRef<HTMLDivElement>(null);
  const day = steps[0] ? format.day(steps[0].when) : '';
  const minute = (step: StoryStep) => {
    if (format.day(step.when) !== day) return 24 * 60;
    const [h = 0, m = 0] = format.seconds(step.when).split(/[.:]/).map(Number);
    return h * 60 + m;
  };
  const hours = steps.map((step) => Math.floor(minute(step) / 60));
  const from = Math.max(0, Math.min(...hours) - 1);
  const to = Math.min(24, Math.max(...hours) + 1);
  const span = Math.max(1, to - from);
  const places = useMemo(() => new Map(lanes.flatMap((lane) => spread(lane.steps.map((step) => [step.key, ((minute(step) / 60 - from) / span) * 100])))), [lanes, from, span]);
  const place = (step: StoryStep) => `${places.get(step.key) ?? 0}%`;
  const focused = chosen ?? steps[0]?.key;
  const selected = steps.find((step) => step.key === chosen);

  const onKey = (event: KeyboardEvent) => {
    const laneAt = lanes.findIndex((lane) => lane.steps.some((step) => step.key === focused));
    const lane = lanes[laneAt];
    const at = lane?.steps.findIndex((step) => step.key === focused) ?? 0;
    const target = (() => {
      if (event.key === 'ArrowRight') return lane?.steps[at + 1];
      if (event.key === 'ArrowLeft') return lane?.steps[at - 1];
      const other = lanes[laneAt + (event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0)];
      if (!other || other === lane) return undefined;
      const now = lane?.steps[at];
      return now && [...other.steps].sort((a, b) => Math.abs(minute(a) - minute(now)) - Math.abs(minute(b) - minute(now)))[0];
    })();
    if (!event.key.startsWith('Arrow')) return;
    event.preventDefault();
    if (!target) return;
    setChosen(target.key);
    chart.current?.querySelector<HTMLElement>(`[data-step="${CSS.escape(target.key)}"]`)?.focus();
  };
  return (
    <Section id="chart" title={t('timeline.chart')}>
      <div className="story" ref={chart} onKeyDown={onKey} role="group" aria-labelledby="chart">
        <div className="story__hours" aria-hidden="true">
          <span />
          <div>
            {Array.from({ length: to - from + 1 }, (_, i) => (
              <span key={i} style={{ left: `${(i / Math.max(1, to - from)) * 100}%` }}>
                {String(from + i).padStart(2, '0')}
              </span>
            ))}
          </div>
        </div>
        {lanes.map((lane) => (
          <div key={lane.person} className="story__lane">
            <span className="story__name">{words.name(lane.person)}</span>
            <div className="story__track">
              {lane.steps.map((step) => (
                <button
                  key={step.key}
                  type="button"
                  data-step={step.key}
                  className={`story__event story__event--${step.state}`}
                  style={{ left: place(step) }}
                  tabIndex={step.key === focused ? 0 : -1}
                  aria-pressed={step.key === chosen}
                  aria-label={`${words.name(lane.person)}, ${format.time(step.when)}, ${t(`timeline.kind.${step.kind}`)}: ${words.title(step)}. ${t(`timeline.state.${step.state}`)}`}
                  onClick={() => setChosen(step.key)}
                >
                  {SIGNS[step.kind]}
                </button>
              ))}
            </div>
          </div>
        ))}
      </div>
      <p className="story__legend muted">
        {t('timeline.legend')}:{' '}
        {[...new Set(steps.map((step) => step.kind))].map((kind) => `${SIGNS[kind]} ${t(`timeline.kind.${kind}`)}`).join('   ')}
      </p>
      <p className="story__chosen" aria-live="polite">
        {selected && (
          <>
            <strong>
              {format.time(selected.when)} {words.name(selected.person)}:
            </strong>{' '}
            {words.title(selected)}. {words.observed(selected) && t('timeline.observed', { what: words.observed(selected) })}{' '}
            {selected.kind === 'message' && <a href="/drift/meldinger">{t('timeline.messages')}</a>}
          </>
        )}
      </p>
    </Section>
  );
}

function StepTable({ steps, onPlay }: { steps: readonly StoryStep[]; onPlay?: (id: string) => void }) {
  const t = useTexts(drift);
  const format = useFormat();
  const words = useStepWords();
  return (
    <Section id="all" title={t('timeline.table')}>
      <table className="compact compact--blocks">
        <caption className="hidden">{t('timeline.table')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('timeline.col.time')}</th>
            <th scope="col">{t('timeline.col.person')}</th>
            <th scope="col">{t('timeline.col.what')}</th>
            <th scope="col">{t('timeline.col.state')}</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((step) => (
            <tr key={step.key}>
              <td data-label={t('timeline.col.time')} className="nowrap">
                {format.shortDateTime(step.when)}
              </td>
              <td data-label={t('timeline.col.person')} className="nowrap">{words.name(step.person)}</td>
              <td data-label={t('timeline.col.what')}>
                <span aria-hidden="true">{SIGNS[step.kind]} </span>
                {words.title(step)}
                {words.observed(step) && <p className="muted">{words.observed(step)}</p>}
              </td>
              <td data-label={t('timeline.col.state')}>
                <State tone={TONES[step.state]}>{t(`timeline.state.${step.state}`)}</State>
                {onPlay && step.state === 'waiting' && (
                  <button type="button" className="quiet-button" aria-label={t('timeline.until.of', { step: words.title(step) })} onClick={() => onPlay(step.key)}>
                    {t('timeline.until')}
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}
