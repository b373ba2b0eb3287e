import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { Fault, post } from '../api/client.ts';
import type { Played, StoryKind, StoryState, StoryStep, Timeline } from '../api/drift.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { drift } from '../i18n/drift.ts';
import { toDate, useFormat } from '../i18n/format.ts';
import { pick, useLanguage, useTexts } from '../i18n/texts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, FaultNotice, Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';

const SIGNS: Record<StoryKind, string> = {
  message: '●',
  lookup: '○',
  setting: '◆',
  refusal: '⊘',
  emergency: '▲',
  appointment: '◎',
  reading: '□',
};

const TONES: Record<StoryState, Tone> = { done: 'good', running: 'wait', waiting: 'quiet', failed: 'bad', passed_over: 'quiet' };
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
  const last = timeline.steps.at(-1);

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
      <p>{t('timeline.now', { time: format.dateTime(timeline.now) })}</p>
      {isOperator ? (
        <div className="buttons">
          <Button disabled={isBusy || !next} onClick={() => next && play(next.id)}>
            {isBusy ? t('timeline.playing') : t('timeline.next')}
          </Button>
          <Button variant="outline" disabled={isBusy || !next} onClick={() => last && play(last.id)}>
            {t('timeline.all')}
          </Button>
          <Button variant="outline" disabled={isBusy} onClick={() => advance(untilMidnight(timeline.now))}>
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
    </>
  );
}

/** ISO 8601 duration from `now` to the next midnight in Norway. */
export function untilMidnight(now: string): string {
  const date = toDate(now) ?? new Date();
  const clock = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Oslo', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const [h = 0, m = 0, s = 0] = clock.format(date).split(':').map(Number);
  return `PT${86_400 - (h * 3_600 + m * 60 + s)}S`;
}

interface Lane {
  person: string;
  name: string;
  steps: StoryStep[];
}

function lanesOf(steps: readonly StoryStep[]): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const step of steps) {
    const lane = lanes.get(step.person) ?? { person: step.person, name: step.name, steps: [] };
    lane.steps.push(step);
    lanes.set(step.person, lane);
  }
  return [...lanes.values()];
}

/** Persons as lanes, hours as columns. One tab stop; arrows walk: up and down lanes, left and right events. */
function Chart({ steps }: { steps: readonly StoryStep[] }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  const lanes = useMemo(() => lanesOf(steps), [steps]);
  const [chosen, setChosen] = useState<string>();
  const chart = useRef<HTMLDivElement>(null);
  const day = steps[0] ? format.day(steps[0].at) : '';
  const minute = (step: StoryStep) => {
    if (format.day(step.at) !== day) return 24 * 60;
    const [h = 0, m = 0] = format.seconds(step.at).split(/[.:]/).map(Number);
    return h * 60 + m;
  };
  const hours = steps.map((step) => Math.floor(minute(step) / 60));
  const from = Math.max(0, Math.min(...hours) - 1);
  const to = Math.min(24, Math.max(...hours) + 1);
  const place = (step: StoryStep) => `${((minute(step) / 60 - from) / Math.max(1, to - from)) * 100}%`;
  const focused = chosen ?? steps[0]?.id;
  const selected = steps.find((step) => step.id === chosen);

  const onKey = (event: KeyboardEvent) => {
    const laneAt = lanes.findIndex((lane) => lane.steps.some((step) => step.id === focused));
    const lane = lanes[laneAt];
    const at = lane?.steps.findIndex((step) => step.id === focused) ?? 0;
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
    setChosen(target.id);
    chart.current?.querySelector<HTMLElement>(`[data-step="${CSS.escape(target.id)}"]`)?.focus();
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
            <span className="story__name">{lane.name}</span>
            <div className="story__track">
              {lane.steps.map((step) => (
                <button
                  key={step.id}
                  type="button"
                  data-step={step.id}
                  className={`story__event story__event--${step.state}`}
                  style={{ left: place(step) }}
                  tabIndex={step.id === focused ? 0 : -1}
                  aria-pressed={step.id === chosen}
                  aria-label={`${lane.name}, ${format.time(step.at)}, ${t(`timeline.kind.${step.kind}`)}: ${pick(step.text, language)}. ${t(`timeline.state.${step.state}`)}`}
                  onClick={() => setChosen(step.id)}
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
              {format.time(selected.at)} {selected.name}:
            </strong>{' '}
            {pick(selected.text, language)}{' '}
            {selected.message && <a href={`/drift/meldinger/${selected.message}`}>{t('timeline.message')}</a>}
          </>
        )}
      </p>
    </Section>
  );
}

function StepTable({ steps, onPlay }: { steps: readonly StoryStep[]; onPlay?: (id: string) => void }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
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
            <tr key={step.id}>
              <td data-label={t('timeline.col.time')} className="nowrap">
                {format.shortDateTime(step.at)}
              </td>
              <td data-label={t('timeline.col.person')}>{step.name}</td>
              <td data-label={t('timeline.col.what')}>
                <span aria-hidden="true">{SIGNS[step.kind]} </span>
                {pick(step.text, language)} {step.message && <a href={`/drift/meldinger/${step.message}`}>{t('timeline.message')}</a>}
                {step.detail && <p className="muted">{step.detail}</p>}
              </td>
              <td data-label={t('timeline.col.state')}>
                <State tone={TONES[step.state]}>{t(`timeline.state.${step.state}`)}</State>
                {onPlay && step.state === 'waiting' && (
                  <button type="button" className="quiet-button" aria-label={t('timeline.until.of', { step: pick(step.text, language) })} onClick={() => onPlay(step.id)}>
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
