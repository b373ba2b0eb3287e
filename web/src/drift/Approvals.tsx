import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, type FormEvent } from 'react';
import { APPROVALS, runPage, type ApprovalOverview, type ApprovalReport, type ApprovalSystem, type ApprovedLine, type RunLine } from '../api/approval.ts';
import { post } from '../api/client.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { approval } from '../i18n/approval.ts';
import { useFormat } from '../i18n/format.ts';
import { useTexts } from '../i18n/texts.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { navigate } from '../router.tsx';
import { ActFault, useAct, useFirstWrong } from './clientParts.tsx';

/** Test and approval: systems, runs, and the published list. */
export function ApprovalsPage() {
  const t = useTexts(approval);
  const { view } = useSession();
  const load = useLoad<ApprovalOverview>(APPROVALS);
  const isParty = view?.kind === 'party';
  return (
    <Page isWide title={t('title')}>
      <p className="lead">{isParty ? t('lead.party', { organisation: view.organisation ?? '' }) : t('lead.operator')}</p>
      <Loaded load={load} waiting={t('loading')}>
        {(overview) => (
          <>
            <Runs runs={overview.runs} />
            {isParty && overview.systems.length > 0 && <Start overview={overview} />}
            <Systems systems={overview.systems} />
            {isParty && <Register overview={overview} onDone={load.reload} />}
            <ApprovedList rows={overview.approved} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Runs({ runs }: { runs: readonly RunLine[] }) {
  const t = useTexts(approval);
  return (
    <Section id="runs" title={t('runs')}>
      {runs.length === 0 ? (
        <Empty text={t('runs.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('runs')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.standard')}</th>
              <th scope="col">{t('col.system')}</th>
              <th scope="col">{t('col.transport')}</th>
              <th scope="col">{t('col.criteria')}</th>
              <th scope="col">{t('col.state')}</th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <tr key={run.id}>
                <th scope="row" data-label={t('col.standard')}>
                  <a href={runPage(run.id)}>{t('run.title', { standard: run.standard_name, direction: t(`direction.${run.direction}`).toLowerCase() })}</a>
                </th>
                <td data-label={t('col.system')}>
                  {run.system.name} {run.system.version}
                  <p className="muted">{run.system.organisation_name}</p>
                </td>
                <td data-label={t('col.transport')}>{t(`transport.${run.transport}`)}</td>
                <td data-label={t('col.criteria')}>{t('met', { n: run.met, all: run.all })}</td>
                <td data-label={t('col.state')}>
                  <RunState run={run} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

/** "Testing pågår" or "OK". */
export function RunState({ run }: { run: RunLine }) {
  const t = useTexts(approval);
  return <State tone={run.status === 'ok' ? 'good' : 'wait'}>{t(`status.${run.status}`)}</State>;
}

function Start({ overview }: { overview: ApprovalOverview }) {
  const t = useTexts(approval);
  const { fault, isBusy, run } = useAct();
  const [form, setForm] = useState({ system: overview.systems[0]?.id ?? '', standard: overview.standards[0]?.code ?? '', direction: 'receive', transport: 'amqp' });
  const set = (name: keyof typeof form) => (event: { target: { value: string } }) => setForm((old) => ({ ...old, [name]: event.target.value }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const made = await post<ApprovalReport>(`${APPROVALS}/runs`, form);
      navigate(runPage(made.id));
    });
  };
  return (
    <Section id="start" title={t('start')}>
      <form className="filters" onSubmit={submit}>
        <SelectField label={t('col.system')} value={form.system} onChange={set('system')}>
          {overview.systems.map((system) => (
            <option key={system.id} value={system.id}>
              {system.name} {system.version} ({system.her_id})
            </option>
          ))}
        </SelectField>
        <SelectField label={t('col.standard')} value={form.standard} onChange={set('standard')}>
          {overview.standards.map((standard) => (
            <option key={standard.code} value={standard.code}>
              {standard.name}
            </option>
          ))}
        </SelectField>
        <SelectField label={t('col.direction')} value={form.direction} onChange={set('direction')}>
          {(['receive', 'send'] as const).map((direction) => (
            <option key={direction} value={direction}>
              {t(`direction.${direction}`)}
            </option>
          ))}
        </SelectField>
        <SelectField label={t('col.transport')} value={form.transport} onChange={set('transport')}>
          {(['amqp', 'ebxml', 'rest'] as const).map((transport) => (
            <option key={transport} value={transport}>
              {t(`transport.${transport}`)}
            </option>
          ))}
        </SelectField>
        <Button type="submit" disabled={isBusy}>
          {t('start.do')}
        </Button>
      </form>
      <p className="muted">{t('start.note', { her: overview.test_party })}</p>
      {fault && <ActFault fault={fault} />}
    </Section>
  );
}

function Systems({ systems }: { systems: readonly ApprovalSystem[] }) {
  const t = useTexts(approval);
  return (
    <Section id="systems" title={t('systems')}>
      {systems.length === 0 ? (
        <Empty text={t('systems.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('systems')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.system')}</th>
              <th scope="col">{t('col.msh')}</th>
              <th scope="col">{t('col.vendor')}</th>
              <th scope="col">{t('col.her')}</th>
            </tr>
          </thead>
          <tbody>
            {systems.map((system) => (
              <tr key={system.id}>
                <th scope="row" data-label={t('col.system')}>
                  {system.name} {system.version}
                </th>
                <td data-label={t('col.msh')}>
                  {system.msh_name} {system.msh_version}
                </td>
                <td data-label={t('col.vendor')}>{system.organisation_name}</td>
                <td data-label={t('col.her')}>{system.her_id}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

const FIELDS = ['name', 'version', 'msh_name', 'msh_version'] as const;
const LABELS = { name: 'register.name', version: 'register.version', msh_name: 'register.msh', msh_version: 'register.msh.version' } as const;

function Register({ overview, onDone }: { overview: ApprovalOverview; onDone: () => void }) {
  const t = useTexts(approval);
  const { fault, isBusy, run } = useAct();
  const empty = { name: '', version: '', msh_name: '', msh_version: '' };
  const [form, setForm] = useState(empty);
  const [her, setHer] = useState(String(overview.parties[0]?.her_id ?? ''));
  const [errors, setErrors] = useState<Partial<Record<(typeof FIELDS)[number], string>>>({});
  const ref = useFirstWrong(errors);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const missing = Object.fromEntries(FIELDS.filter((field) => !form[field].trim()).map((field) => [field, t('register.missing')]));
    setErrors(missing);
    if (Object.keys(missing).length > 0) return;
    void run(async () => {
      await post(`${APPROVALS}/systems`, { ...form, her_id: Number(her) });
      setForm(empty);
      onDone();
    });
  };
  return (
    <Section id="register" title={t('register')}>
      <form ref={ref} className="stack" onSubmit={submit} noValidate>
        {FIELDS.map((field) => (
          <TextField
            key={field}
            label={t(LABELS[field])}
            value={form[field]}
            onChange={(event) => setForm((old) => ({ ...old, [field]: event.target.value }))}
            error={errors[field]}
            maxLength={80}
            size={field.endsWith('version') ? 12 : 36}
            autoComplete="off"
          />
        ))}
        <SelectField label={t('register.her')} value={her} onChange={(event) => setHer(event.target.value)}>
          {overview.parties.map((party) => (
            <option key={party.her_id} value={party.her_id}>
              {party.her_id} {party.name}
            </option>
          ))}
        </SelectField>
        {fault && <ActFault fault={fault} />}
        <div className="buttons">
          <Button type="submit" disabled={isBusy}>
            {t('register.do')}
          </Button>
        </div>
      </form>
    </Section>
  );
}

function ApprovedList({ rows }: { rows: readonly ApprovedLine[] }) {
  const t = useTexts(approval);
  const format = useFormat();
  return (
    <Section id="approved" title={t('approved')}>
      {rows.length === 0 ? (
        <Empty text={t('approved.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('approved')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.system')}</th>
              <th scope="col">{t('col.vendor')}</th>
              <th scope="col">{t('col.standard')}</th>
              <th scope="col">{t('col.direction')}</th>
              <th scope="col">{t('col.transport')}</th>
              <th scope="col">{t('col.approved')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <tr key={i}>
                <th scope="row" data-label={t('col.system')}>
                  {row.system} {row.version}
                  <p className="muted">{row.msh}</p>
                </th>
                <td data-label={t('col.vendor')}>{row.vendor}</td>
                <td data-label={t('col.standard')}>{row.standard}</td>
                <td data-label={t('col.direction')}>{t(`direction.${row.direction}`)}</td>
                <td data-label={t('col.transport')}>{t(`transport.${row.transport}`)}</td>
                <td data-label={t('col.approved')}>{format.shortDate(format.day(row.approved_at_us))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}
