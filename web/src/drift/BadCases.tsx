import { useState } from 'react';
import { Fault, post } from '../api/client.ts';
import type { BadCase } from '../api/drift.ts';
import { bad } from '../i18n/bad.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { Section } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';

/** Messages that are wrong on purpose, what they must be answered with, and what came. */
export function BadCases({ cases, canSend, onChanged }: { cases: readonly BadCase[]; canSend: boolean; onChanged: () => void }) {
  const t = useTexts(bad);
  const { language } = useLanguage();
  const format = useFormat();
  const [sending, setSending] = useState<string>();
  const [fault, setFault] = useState<Fault>();
  const send = async (id: string) => {
    setSending(id);
    setFault(undefined);
    try {
      await post(`/demo/bad/${id}`);
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    } finally {
      setSending(undefined);
      onChanged();
    }
  };
  return (
    <Section id="bad" title={t('title')}>
      <p>{t('lead')}</p>
      {fault && <FaultNotice fault={fault} />}
      <table className="compact compact--blocks">
        <caption className="hidden">{t('title')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('col.case')}</th>
            <th scope="col">{t('col.wrong')}</th>
            <th scope="col">{t('col.answer')}</th>
          </tr>
        </thead>
        <tbody>
          {cases.map((row) => (
            <tr key={row.id}>
              <th scope="row" data-label={t('col.case')} className="nowrap">
                {row.id}
              </th>
              <td data-label={t('col.wrong')}>
                {language === 'nb' ? row.wrong : row.wrong_en}
                {/* Codes and conditions are the same in every language. */}
                <p className="muted">
                  {t('expected')} {language === 'nb' ? row.expected_nb : row.expected}
                </p>
              </td>
              <td data-label={t('col.answer')}>
                {row.at ? (
                  <>
                    <State tone={row.as_expected ? 'good' : 'bad'}>{t(row.as_expected ? 'right' : 'wrong', { time: format.shortDateTime(row.at) })}</State>
                    <p className="muted">{language === 'nb' ? row.observed_nb : row.observed}</p>
                  </>
                ) : (
                  <span className="muted">{t('not_sent')}</span>
                )}{' '}
                {canSend && (
                  <button type="button" className="quiet-button" disabled={sending !== undefined} aria-label={t('send.of', { id: row.id })} onClick={() => void send(row.id)}>
                    {sending === row.id ? t('sending') : t('send')}
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
