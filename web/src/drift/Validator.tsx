import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useMemo, useRef, useState, type DragEvent, type FormEvent, type RefObject } from 'react';
import { Fault, postBytes } from '../api/client.ts';
import type { Finding, PartySummary, Report } from '../api/drift.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { pick, useLanguage, useTexts } from '../i18n/texts.tsx';
import { Facts } from '../parts/facts.tsx';
import { FieldError } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { SAMPLES } from './samples.ts';

const MAX_BYTES = 20 << 20;
/** Longer sources are shown around their findings only. */
const MAX_LINES = 2_000;
const LINES_AROUND = 4;

/** Explains a message: verdict first, then what it is, what is wrong and where. */
export function ValidatorPage() {
  const t = useTexts(drift);
  const { language } = useLanguage();
  const [text, setText] = useState('');
  const [file, setFile] = useState<File>();
  const [error, setError] = useState('');
  const [fault, setFault] = useState<Fault>();
  const [isBusy, setBusy] = useState(false);
  const [checked, setChecked] = useState<{ report: Report; source: string }>();

  const take = (chosen: File | undefined) => {
    setFile(chosen);
    setError(chosen && chosen.size > MAX_BYTES ? t('validator.large') : '');
  };
  const check = async (bytes: Blob) => {
    if (bytes.size > MAX_BYTES) return setError(t('validator.large'));
    setBusy(true);
    setFault(undefined);
    try {
      const report = await postBytes<Report>(`/api/drift/validate?lang=${language}`, bytes);
      setChecked({ report, source: await bytes.text() });
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!file && !text.trim()) return setError(t('validator.empty'));
    setError('');
    void check(file ?? new Blob([text]));
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  };
  const clear = () => {
    setText('');
    setFile(undefined);
    setError('');
    setChecked(undefined);
  };
  return (
    <Page isWide title={t('validator.title')}>
      <p className="lead">{t('validator.intro')}</p>
      <form className="validator" onSubmit={submit} onDragOver={(event) => event.preventDefault()} onDrop={drop} noValidate>
        <div className="field">
          <label htmlFor="message">{t('validator.paste')}</label>
          <textarea
            id="message"
            className="code-field"
            rows={8}
            spellCheck={false}
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              setFile(undefined);
            }}
            aria-describedby={error ? 'validator-error' : undefined}
            aria-invalid={Boolean(error)}
          />
        </div>
        <div className="field">
          <label htmlFor="file">{t('validator.file')}</label>
          <p className="field__hint" id="file-hint">
            {t('validator.file.hint')}
          </p>
          <input id="file" type="file" aria-describedby="file-hint" onChange={(event) => take(event.target.files?.[0])} />
          {file && <p>{t('validator.file.chosen', { name: file.name, size: file.size })}</p>}
        </div>
        <FieldError id="validator-error" text={error} />
        <div className="buttons">
          <Button type="submit" disabled={isBusy}>
            {isBusy ? t('validator.busy') : t('validator.do')}
          </Button>
          <Button variant="outline" onClick={clear}>
            {t('validator.clear')}
          </Button>
        </div>
        <p className="samples">
          <span>{t('validator.samples')}:</span>
          {(['apprec', 'typo', 'broken', 'mail'] as const).map((key) => (
            <button
              key={key}
              type="button"
              className="quiet-button"
              onClick={() => {
                setText(SAMPLES[key]);
                setFile(undefined);
                setError('');
                void check(new Blob([SAMPLES[key]]));
              }}
            >
              {t(`validator.sample.${key}`)}
            </button>
          ))}
        </p>
      </form>
      {fault && <FaultNotice fault={fault} />}
      {checked && <Result report={checked.report} source={checked.source} />}
    </Page>
  );
}

function severityOf(finding: Finding): 'error' | 'warning' | 'info' {
  return finding.severity.toLowerCase() as 'error' | 'warning' | 'info';
}

const TONES: Record<ReturnType<typeof severityOf>, Tone> = { error: 'bad', warning: 'watch', info: 'quiet' };

function Result({ report, source }: { report: Report; source: string }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [report]);
  const errors = report.findings.filter((f) => severityOf(f) === 'error').length;
  const warnings = report.findings.filter((f) => severityOf(f) === 'warning').length;
  const verdict = [
    errors === 0 ? t('validator.verdict.ok') : errors === 1 ? t('validator.verdict.bad.one') : t('validator.verdict.bad.many', { n: errors }),
    warnings === 1 ? t('validator.verdict.warnings.one') : warnings > 1 ? t('validator.verdict.warnings.many', { n: warnings }) : '',
  ].filter(Boolean);
  return (
    <div className="report">
      <h2 ref={heading} tabIndex={-1}>
        {t('validator.verdict')}
      </h2>
      <p className="lead">
        <State tone={errors > 0 ? 'bad' : warnings > 0 ? 'watch' : 'good'}>{verdict.join(', ')}</State>
      </p>
      <Facts
        rows={[
          [t('validator.what'), pick(report.what, language)],
          [t('validator.answer'), pick(report.answer, language)],
          [t('validator.sender'), partyText(report.sender)],
          [t('validator.receiver'), partyText(report.receiver)],
          [t('validator.copies'), report.copies.map(partyText).filter(Boolean).join('; ')],
          [t('validator.made'), report.gen_date],
          [t('validator.namespace'), report.identified.payload_namespace ?? report.identified.root_namespace],
          [t('validator.size'), t('envelope.bytes.n', { n: format.count(report.size_bytes) })],
        ]}
      />
      <Findings report={report} source={source} />
      {report.passed.length > 0 && (
        <details className="more">
          <summary>{t('validator.passed', { n: report.passed.length })}</summary>
          <ul>
            {report.passed.map((passed, i) => (
              <li key={i}>{pick(passed, language)}</li>
            ))}
          </ul>
        </details>
      )}
      {report.not_run.length > 0 && (
        <Section id="not-run" title={t('validator.notRun')}>
          <dl className="not-run">
            {report.not_run.map((check, i) => (
              <div key={i}>
                <dt>{pick(check.what, language)}</dt>
                <dd>{pick(check.how, language)}</dd>
              </div>
            ))}
          </dl>
        </Section>
      )}
    </div>
  );
}

function partyText(party: PartySummary | null): string {
  if (!party) return '';
  const ids = [party.her_id, party.level2_her_id].filter(Boolean).join(' / ');
  return [party.organisation, party.unit].filter(Boolean).join(', ') + (ids ? ` (${ids})` : '');
}

function Findings({ report, source }: { report: Report; source: string }) {
  const t = useTexts(drift);
  const { language } = useLanguage();
  const list = useRef<HTMLOListElement>(null);
  useNextAndPrevious(list);
  const show = (line: number) => {
    const row = document.getElementById(`line-${line}`);
    row?.scrollIntoView({ block: 'center' });
    row?.focus({ preventScroll: true });
  };
  return (
    <>
      <Section id="findings" title={t('validator.findings')}>
        {report.findings.length === 0 ? (
          <p className="empty">{t('validator.findings.none')}</p>
        ) : (
          <>
            <ol className="findings" ref={list}>
              {report.findings.map((finding, i) => (
                <li key={i} tabIndex={-1} id={`finding-${i}`}>
                  <p>
                    <State tone={TONES[severityOf(finding)]}>{t(`validator.${severityOf(finding)}`)}</State>{' '}
                    <span className="muted">
                      {finding.line > 0 ? t('validator.place', { line: finding.line, column: finding.column }) : t('validator.whole')}
                    </span>
                  </p>
                  <p>{language === 'nb' ? finding.text_nb : finding.text_en}</p>
                  <p className="muted">
                    {finding.element && <code className="long-code">{finding.element}</code>} {t('validator.rule', { rule: finding.rule })}
                    {finding.code && <>. {t('validator.code', { code: finding.code })}</>}
                  </p>
                  {finding.line > 0 && (
                    <button type="button" className="quiet-button" onClick={() => show(finding.line)}>
                      {t('validator.goto', { line: finding.line })}
                    </button>
                  )}
                </li>
              ))}
            </ol>
            <p className="muted">{t('validator.keys')}</p>
          </>
        )}
      </Section>
      {report.findings.some((f) => f.line > 0) && <SourceView source={source} findings={report.findings} />}
    </>
  );
}

/** `n` and `p` walk through the findings. */
function useNextAndPrevious(list: RefObject<HTMLOListElement | null>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).closest('input, textarea, select')) return;
      if (event.key !== 'n' && event.key !== 'p') return;
      const items = [...(list.current?.children ?? [])] as HTMLElement[];
      const at = items.findIndex((item) => item.contains(document.activeElement));
      const next = event.key === 'n' ? Math.min(items.length - 1, at + 1) : Math.max(0, at - 1);
      items[next]?.focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [list]);
}

function SourceView({ source, findings }: { source: string; findings: readonly Finding[] }) {
  const t = useTexts(drift);
  const marked = useMemo(() => new Map(findings.map((f, i) => [f.line, i])), [findings]);
  const lines = useMemo(() => {
    const all = source.split(/\r?\n/);
    if (all.length <= MAX_LINES) return all.map((text, i) => [i + 1, text] as const);
    const near = new Set([...marked.keys()].flatMap((n) => Array.from({ length: 2 * LINES_AROUND + 1 }, (_, i) => n - LINES_AROUND + i)));
    return all.flatMap((text, i) => (near.has(i + 1) ? [[i + 1, text] as const] : []));
  }, [source, marked]);
  return (
    <Section id="source" title={t('validator.source')}>
      {lines.length >= MAX_LINES && <p className="muted">{t('validator.source.long')}</p>}
      <div className="source" tabIndex={0} role="group" aria-labelledby="source">
        <ol>
          {lines.map(([n, text]) => {
            const finding = marked.get(n);
            return (
              <li key={n} id={`line-${n}`} value={n} tabIndex={finding === undefined ? undefined : -1} className={finding === undefined ? undefined : 'source__marked'}>
                <code>{text.slice(0, 2_000) || ' '}</code>
              </li>
            );
          })}
        </ol>
      </div>
    </Section>
  );
}
