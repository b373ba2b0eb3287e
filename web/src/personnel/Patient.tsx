import Button from '@helsenorge/designsystem-react/components/Button';
import FormGroup from '@helsenorge/designsystem-react/components/FormGroup';
import Label, { Sublabel } from '@helsenorge/designsystem-react/components/Label';
import RadioButton from '@helsenorge/designsystem-react/components/RadioButton';
import { useEffect, useState, type FormEvent } from 'react';
import { Fault } from '../api/client.ts';
import type { BasisCode, Choice } from '../api/personnel.ts';
import { personnel } from '../i18n/personnel.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { navigate } from '../router.tsx';
import { PatientLine } from './PatientLine.tsx';
import { RefusalPage } from './Refusal.tsx';
import { SummaryPage } from './Summary.tsx';
import { useRecord } from './record.tsx';

/** The chosen patient: first the reason, then the summary or a refusal. */
export function PatientPage() {
  const { choice, opened } = useRecord();
  const t = useTexts(personnel);
  if (!choice) {
    return (
      <Page title={t('find.title')}>
        <p>{t('find.closed')}</p>
        <Button onClick={() => navigate('/helsepersonell')}>{t('refused.back')}</Button>
      </Page>
    );
  }
  if (choice.is_own_record) return <RefusalPage why="own_record" />;
  if (!opened) return <BasisPage key={choice.patient.nin} choice={choice} />;
  if (opened.outcome === 'refused') return <RefusalPage key={opened.why} why={opened.why} />;
  return <SummaryPage key={choice.patient.nin} summary={opened} />;
}

function BasisPage({ choice }: { choice: Choice }) {
  const t = useTexts(personnel);
  const s = useTexts(shell);
  const { open } = useRecord();
  const [basis, setBasis] = useState<BasisCode>();
  const [error, setError] = useState('');
  const [fault, setFault] = useState<Fault>();
  const [isBusy, setBusy] = useState(false);
  const first = choice.patient.name.split(' ')[0] ?? choice.patient.name;
  // The patient's own GP is not asked; another exception is one of the choices.
  const isKnown = choice.is_gp && choice.exception;
  const offered: BasisCode[] = choice.exception ? ['SAMTYKKE', 'AKUTT', 'UNNTAK'] : ['SAMTYKKE', 'AKUTT'];
  useNumberKeys(isKnown ? [] : offered, setBasis);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const chosen = isKnown ? 'UNNTAK' : basis;
    setError(chosen ? '' : t('basis.missing'));
    if (!chosen || isBusy) return;
    setBusy(true);
    try {
      await open(chosen);
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
      setBusy(false);
    }
  };
  return (
    <Page title={choice.patient.name} tabTitle={t('patient.tab')} crumbs={[{ text: t('find.title'), href: '/helsepersonell' }, { text: choice.patient.name }]}>
      <PatientLine patient={choice.patient} />
      <form className="basis" onSubmit={(event) => void submit(event)} noValidate>
        {isKnown ? (
          <p>{t('basis.gp')}</p>
        ) : (
          <FormGroup legend={t('basis.why')} error={error} name="basis">
            {offered.map((code) => (
              <RadioButton
                key={code}
                name="basis"
                value={code}
                checked={basis === code}
                onChange={() => setBasis(code)}
                aria-describedby={`basis-${code}`}
                label={
                  <Label
                    labelTexts={[
                      { text: code === 'SAMTYKKE' ? t('basis.SAMTYKKE', { name: first }) : t(code === 'AKUTT' ? 'basis.AKUTT' : 'basis.UNNTAK') },
                    ]}
                    sublabel={<Sublabel id={`basis-${code}`} sublabelTexts={[{ text: t(HINTS[code as keyof typeof HINTS]), type: 'subdued' }]} />}
                  />
                }
              />
            ))}
          </FormGroup>
        )}
        <p className="muted">
          {t('basis.shown', { name: first })} {!isKnown && t('basis.keys')}
        </p>
        {fault && <FaultNotice fault={fault} />}
        <div className="buttons">
          <Button type="submit">{t('basis.open')}</Button>
          <Button variant="outline" onClick={() => navigate('/helsepersonell')}>
            {s('cancel')}
          </Button>
        </div>
      </form>
    </Page>
  );
}

const HINTS = {
  SAMTYKKE: 'basis.SAMTYKKE.hint',
  AKUTT: 'basis.AKUTT.hint',
  UNNTAK: 'basis.UNNTAK.hint',
} as const;

/** 1, 2, 3 choose a reason; Enter then opens, as in any form. */
function useNumberKeys(offered: readonly BasisCode[], choose: (basis: BasisCode) => void): void {
  const codes = offered.join(' ');
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input[type=text], textarea, select')) return;
      const code = codes.split(' ')[Number(event.key) - 1] as BasisCode | undefined;
      if (!code) return;
      choose(code);
      document.querySelector<HTMLInputElement>(`input[name=basis][value=${code}]`)?.focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [codes, choose]);
}
