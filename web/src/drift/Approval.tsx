import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useState } from 'react';
import { APPROVALS, type ApprovalFinding, type ApprovalReport, type CaseLine, type Criterion, type CriterionState } from '../api/approval.ts';
import { post } from '../api/client.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { approval } from '../i18n/approval.ts';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { Facts } from '../parts/facts.tsx';
import { TextField } from '../parts/fields.tsx';
import { Notice } from '../parts/notice.tsx';
import { Page, PrintButton, Section } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { ActFault, useAct } from './clientParts.tsx';
import { RunState } from './Approvals.tsx';

/** How often an open run is looked at. */
const EVERY_MS = 3_000;
const TONES: Record<CriterionState, Tone> = { passed: 'good', failed: 'bad', waiting: 'wait' };

/** One run: what was sent and came back, where every criterion stands, and the report on paper. */
export function ApprovalPage({ id }: { id: string }) {
  const t = useTexts(approval);
  const d = useTexts(drift);
  const load = useLoad<ApprovalReport>(`${APPROVALS}/runs/${encodeURIComponent(id)}`);
  const report = load.data;
  const title = report ? t('run.title', { standard: report.standard_name, direction: t(`direction.${report.direction}`).toLowerCase() }) : t('title');
  const crumbs = [{ text: d('menu.home'), href: '/drift' }, { text: t('title'), href: '/drift/samsvar' }, { text: title }];
  return (
    <Page isWide title={title} crumbs={crumbs} actions={<PrintButton />}>
      <Loaded load={load} waiting={t('loading')}>
        {(found) => <Report report={found} onChange={load.set} onLook={load.reload} />}
      </Loaded>
    </Page>
  );
}

interface ReportProps {
  report: ApprovalReport;
  onChange: (report: ApprovalReport) => void;
  onLook: () => void;
}

function Report({ report, onChange, onLook }: ReportProps) {
  const t = useTexts(approval);
  const format = useFormat();
  const { view } = useSession();
  const isOpen = report.status === 'testing';
  const mayAct = isOpen && view?.kind === 'party';
  const { system } = report;
  return (
    <>
      <p className="lead">
        <RunState run={report} />
      </p>
      <p>
        {t('run.summary', { met: report.met, all: report.all, not_met: report.not_met })}
      </p>
      {report.finished_at_us !== null && <p>{t('run.done', { time: format.dateTime(report.finished_at_us) })}</p>}
      {isOpen && <Live onLook={onLook} />}
      <Facts
        rows={[
          [t('col.system'), `${system.name} ${system.version}`],
          [t('col.msh'), `${system.msh_name} ${system.msh_version}`],
          [t('col.vendor'), system.organisation_name],
          [t('col.her'), String(system.her_id)],
          [t('col.transport'), t(`transport.${report.transport}`)],
          [t('run.party'), String(report.test_party)],
        ]}
      />
      {mayAct && <Finish report={report} onChange={onChange} />}
      <Criteria report={report} mayAct={mayAct} onChange={onChange} />
      {report.direction === 'receive' ? <Cases report={report} mayAct={mayAct} onChange={onChange} /> : <Messages report={report} />}
      {report.patients.length > 0 && <Patients report={report} />}
      <p>
        <a href={`${APPROVALS}/runs/${encodeURIComponent(report.id)}`} target="_blank" rel="noreferrer">
          {t('json')}
        </a>
      </p>
    </>
  );
}

/** Looks again while the page is in sight; can be stopped (WCAG 2.2.2). */
function Live({ onLook }: { onLook: () => void }) {
  const t = useTexts(approval);
  const [isOn, setOn] = useState(true);
  useEffect(() => {
    if (!isOn) return;
    const timer = setInterval(() => {
      // Nothing is taken from under somebody who writes.
      const isWriting = document.activeElement instanceof HTMLInputElement;
      if (document.visibilityState === 'visible' && !isWriting) onLook();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [isOn, onLook]);
  return (
    <p className="muted">
      {isOn && `${t('run.live')} `}
      <button type="button" className="quiet-button" onClick={() => setOn(!isOn)}>
        {isOn ? t('run.pause') : t('run.resume')}
      </button>
    </p>
  );
}

interface ActProps {
  report: ApprovalReport;
  onChange: (report: ApprovalReport) => void;
}

function Finish({ report, onChange }: ActProps) {
  const t = useTexts(approval);
  const { fault, isBusy, run } = useAct();
  const finish = () => void run(async () => onChange(await post<ApprovalReport>(`${APPROVALS}/runs/${encodeURIComponent(report.id)}/finish`)));
  return (
    <>
      {fault?.status === 409 ? (
        <Notice variant="warn" role="alert">
          <p>{t('run.missing')}</p>
        </Notice>
      ) : (
        fault && <ActFault fault={fault} />
      )}
      <div className="buttons">
        <Button disabled={isBusy} onClick={finish}>
          {t('run.finish')}
        </Button>
      </div>
    </>
  );
}

function Criteria({ report, mayAct, onChange }: ActProps & { mayAct: boolean }) {
  const t = useTexts(approval);
  const families = [...new Set(report.criteria.map((criterion) => criterion.family))];
  return (
    <Section id="criteria" title={t('criteria')}>
      {families.map((family) => (
        <section key={family} className="criteria" aria-labelledby={`family-${family}`}>
          <h3 id={`family-${family}`}>{t(`family.${family}`)}</h3>
          <ul className="criteria__list">
            {report.criteria
              .filter((criterion) => criterion.family === family)
              .map((criterion) => (
                <li key={criterion.id} id={criterion.id}>
                  <CriterionView report={report} criterion={criterion} mayAct={mayAct} onChange={onChange} />
                </li>
              ))}
          </ul>
        </section>
      ))}
      {report.strays > 0 && <p>{t('run.strays', { n: report.strays })}</p>}
    </Section>
  );
}

function CriterionView({ report, criterion, mayAct, onChange }: ActProps & { criterion: Criterion; mayAct: boolean }) {
  const t = useTexts(approval);
  const { shown } = useLanguage();
  return (
    <>
      <p>
        <State tone={TONES[criterion.state]}>{t(`state.${criterion.state}`)}</State> <strong>{criterion.id}</strong> {criterion.words[shown]}
      </p>
      <p className="muted">
        {criterion.self_declared && `${t('declared.mark')}. `}
        {t('rule', { rule: criterion.rule })}
      </p>
      {criterion.declared?.remark && <p>{criterion.declared.remark}</p>}
      <Findings findings={criterion.findings} />
      {criterion.self_declared && mayAct && <Declare report={report} criterion={criterion} onChange={onChange} />}
    </>
  );
}

function Findings({ findings }: { findings: readonly ApprovalFinding[] }) {
  const t = useTexts(approval);
  const { language } = useLanguage();
  if (findings.length === 0) return null;
  return (
    <ul className="criteria__findings">
      {findings.map((finding, i) => (
        <li key={i}>
          {language === 'en' ? finding.en : finding.nb}{' '}
          <span className="muted">
            {finding.line > 0 && `${t('place', { line: finding.line, column: finding.column })}. `}
            {finding.element && <code className="long-code">{finding.element}</code>} {t('rule', { rule: finding.rule })}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Declare({ report, criterion, onChange }: ActProps & { criterion: Criterion }) {
  const t = useTexts(approval);
  const { fault, isBusy, run } = useAct();
  const [remark, setRemark] = useState(criterion.declared?.remark ?? '');
  const path = `${APPROVALS}/runs/${encodeURIComponent(report.id)}/declarations/${criterion.id}`;
  const say = (answer: boolean) => void run(async () => onChange(await post<ApprovalReport>(path, { answer, remark: remark.trim() })));
  const { id } = criterion;
  return (
    <div className="filters criteria__declare">
      <TextField label={t('declare.remark')} aria-label={t('declare.remark.of', { id })} value={remark} onChange={(event) => setRemark(event.target.value)} maxLength={1_000} size={36} autoComplete="off" />
      <div className="buttons">
        {([true, false] as const).map((answer) => (
          <button
            key={String(answer)}
            type="button"
            className="quiet-button"
            disabled={isBusy}
            aria-pressed={criterion.declared?.answer === answer}
            aria-label={t(answer ? 'declare.yes.of' : 'declare.no.of', { id })}
            onClick={() => say(answer)}
          >
            {t(answer ? 'declare.yes' : 'declare.no')}
          </button>
        ))}
      </div>
      {fault && <ActFault fault={fault} />}
    </div>
  );
}

/** Words for a case of the hub. */
function useCaseName(): (code: string) => string {
  const t = useTexts(approval);
  return (code) => {
    const key = code === 'receipt' ? 'case.receipt_only' : `case.${code}`;
    return key in approval ? t(key as 'case.normal') : code;
  };
}

function Cases({ report, mayAct, onChange }: ActProps & { mayAct: boolean }) {
  const t = useTexts(approval);
  const format = useFormat();
  const nameOf = useCaseName();
  const { fault, isBusy, run } = useAct();
  const again = (line: CaseLine) => void run(async () => onChange(await post<ApprovalReport>(`${APPROVALS}/runs/${encodeURIComponent(report.id)}/cases/${line.case}/send`)));
  return (
    <Section id="cases" title={t('cases')}>
      {fault && <ActFault fault={fault} />}
      <table className="compact compact--blocks">
        <caption className="hidden">{t('cases')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('col.case')}</th>
            <th scope="col">{t('col.sent')}</th>
            <th scope="col">{t('col.state')}</th>
            <th scope="col">{t('col.answer')}</th>
          </tr>
        </thead>
        <tbody>
          {report.cases.map((line) => (
            <tr key={line.case}>
              <th scope="row" data-label={t('col.case')}>
                {nameOf(line.case)}
                {line.attempts > 1 && <p className="muted">{t('case.attempt', { n: line.attempts })}</p>}
              </th>
              <td data-label={t('col.sent')}>
                {format.shortDateTime(line.sent_at_us)}
                {line.tracks.map((track) => (
                  <p key={track}>
                    <a href={`/drift/meldinger/${encodeURIComponent(track)}`}>{t('case.open')}</a>
                  </p>
                ))}
              </td>
              <td data-label={t('col.state')}>
                <State tone={line.fetched ? 'good' : 'wait'}>{t(line.fetched ? 'case.fetched' : 'case.waits')}</State>
              </td>
              <td data-label={t('col.answer')}>
                {line.receipts.map((receipt) => (
                  <p key={receipt.track}>
                    {t('case.receipt', { status: receipt.status ?? '?' })} {receipt.codes.join(', ')}
                  </p>
                ))}
                {line.conditions.map((condition, i) => (
                  <p key={i}>
                    <code>{condition}</code>
                  </p>
                ))}
                {mayAct && (
                  <button type="button" className="quiet-button" disabled={isBusy} aria-label={t('case.again.of', { case: nameOf(line.case) })} onClick={() => again(line)}>
                    {t('case.again')}
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

function Messages({ report }: { report: ApprovalReport }) {
  const t = useTexts(approval);
  const format = useFormat();
  const nameOf = useCaseName();
  return (
    <Section id="messages" title={t('messages')}>
      {report.messages.length === 0 ? (
        <Empty text={t('messages.none', { her: report.test_party })} />
      ) : (
        <ol className="criteria__list">
          {report.messages.map((message) => (
            <li key={message.track}>
              <p>
                <State tone={message.findings.length > 0 ? 'bad' : 'good'}>{message.findings.length > 0 ? t('messages.bad', { n: message.findings.length }) : t('messages.good')}</State>{' '}
                <a href={`/drift/meldinger/${encodeURIComponent(message.track)}`}>
                  {message.function} {format.shortDateTime(message.at_us)}
                </a>
              </p>
              {message.cases.length > 0 && (
                <p className="muted">
                  {t('messages.shows')}: {message.cases.map(nameOf).join(', ')}
                </p>
              )}
              <Findings findings={message.findings} />
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function Patients({ report }: { report: ApprovalReport }) {
  const t = useTexts(approval);
  const format = useFormat();
  return (
    <Section id="patients" title={t('patients')}>
      <p>{t('patients.text')}</p>
      <table className="compact compact--blocks">
        <caption className="hidden">{t('patients')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('patients.name')}</th>
            <th scope="col">{t('patients.nin')}</th>
            <th scope="col">{t('patients.born')}</th>
          </tr>
        </thead>
        <tbody>
          {report.patients.map((patient) => (
            <tr key={patient.nin}>
              <th scope="row" data-label={t('patients.name')}>
                {patient.name}
              </th>
              <td data-label={t('patients.nin')}>
                {patient.nin} ({patient.kind})
              </td>
              <td data-label={t('patients.born')}>{format.shortDate(patient.born)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}
