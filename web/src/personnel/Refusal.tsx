import Button from '@helsenorge/designsystem-react/components/Button';
import { useState } from 'react';
import { Fault } from '../api/client.ts';
import type { Refusal } from '../api/personnel.ts';
import { personnel } from '../i18n/personnel.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { navigate } from '../router.tsx';
import { ActionLink } from '../shell/Frames.tsx';
import { useRecord } from './record.tsx';

/**
 * One page per reason. That of a block says the same whether the person has data or not: nothing of the patient stands on
 * it.
 */
export function RefusalPage({ why }: { why: Refusal }) {
  const t = useTexts(personnel);
  const search = (
    <Button variant="outline" onClick={() => navigate('/helsepersonell')}>
      {t('refused.back')}
    </Button>
  );
  if (why === 'own_record') {
    return (
      <Page title={t('own.title')}>
        <p className="lead">{t('own.text')}</p>
        <div className="buttons">
          <ActionLink href="/">{t('own.link')}</ActionLink>
          {search}
        </div>
      </Page>
    );
  }
  if (why === 'restricted') return <Restricted />;
  return (
    <Page title={t(`refused.${why}.title`)}>
      <div className="refusal">
        <p className="lead">{t(`refused.${why}`)}</p>
        <p>{t(`refused.${why}.do`)}</p>
      </div>
      <div className="buttons">
        {(why === 'basis' || why === 'not_needed') && <Again />}
        {search}
      </div>
    </Page>
  );
}

function Again() {
  const t = useTexts(personnel);
  const { choice, choose } = useRecord();
  if (!choice) return null;
  return <Button onClick={() => void choose(choice.patient.nin)}>{t('refused.again')}</Button>;
}

/** The whole record is restricted: the two ways through. */
function Restricted() {
  const t = useTexts(personnel);
  const { open } = useRecord();
  const [fault, setFault] = useState<Fault>();
  const go = (basis: 'FORHOYET_SAMTYKKE' | 'FORHOYET_AKUTT') => {
    open(basis).catch((cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown')));
  };
  return (
    <Page title={t('refused.restricted.title')}>
      <p className="lead">{t('refused.restricted')}</p>
      {fault && <FaultNotice fault={fault} />}
      <div className="buttons">
        <Button onClick={() => go('FORHOYET_SAMTYKKE')}>{t('open.consent')}</Button>
        <Button variant="outline" onClick={() => go('FORHOYET_AKUTT')}>
          {t('open.emergency')}
        </Button>
        <Button variant="borderless" onClick={() => navigate('/helsepersonell')}>
          {t('refused.back')}
        </Button>
      </div>
    </Page>
  );
}
