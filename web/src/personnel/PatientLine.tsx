import { useState } from 'react';
import type { PatientHeader } from '../api/personnel.ts';
import { useFormat } from '../i18n/format.ts';
import { personnel } from '../i18n/personnel.ts';
import { useTexts } from '../i18n/texts.tsx';
import { State } from '../parts/state.tsx';

/** Who the patient is, in one line; the last five digits are shown when asked for. */
export function PatientLine({ patient }: { patient: PatientHeader }) {
  const t = useTexts(personnel);
  const format = useFormat();
  const facts = [
    patient.age !== null && t('patient.age', { n: patient.age }),
    t(patient.sex === 'female' ? 'patient.female' : 'patient.male'),
    patient.born && format.shortDate(patient.born),
    patient.gp && t('patient.gp', { name: patient.gp }),
  ].filter(Boolean);
  return (
    <div className="patient-line">
      <p>
        {facts.join(' · ')} · <Nin nin={patient.nin} />
      </p>
      {patient.died && (
        <p>
          <State tone="quiet">{t('patient.died', { date: format.date(patient.died) })}</State>
        </p>
      )}
      {patient.is_protected && (
        <p>
          <State tone="watch">{t('patient.protected')}</State>
        </p>
      )}
    </div>
  );
}

function Nin({ nin }: { nin: string }) {
  const t = useTexts(personnel);
  const [isShown, setShown] = useState(false);
  if (isShown) return <span className="nin">{`${nin.slice(0, 6)} ${nin.slice(6)}`}</span>;
  return (
    <span className="nin">
      {nin.slice(0, 6)} <span aria-hidden="true">•••••</span>{' '}
      <button type="button" className="quiet-button" aria-label={t('patient.nin.show.of')} onClick={() => setShown(true)}>
        {t('patient.nin.show')}
      </button>
    </span>
  );
}
