import Button from '@helsenorge/designsystem-react/components/Button';
import { useState } from 'react';
import { Fault, post } from '../api/client.ts';
import type { MessageDetail, Step } from '../api/drift.ts';
import { useLoad } from '../api/load.ts';
import { useSession } from '../api/session.tsx';
import { drift } from '../i18n/drift.ts';
import { useFormat } from '../i18n/format.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { errorCodes, messageFunction } from '../i18n/words.ts';
import { Facts } from '../parts/facts.tsx';
import { Page, PrintButton, Section } from '../parts/page.tsx';
import { FaultNotice, Loaded } from '../parts/source.tsx';
import { State } from '../parts/state.tsx';
import { MessageTable } from './Messages.tsx';
import { toneOf, useStateText, useStepText } from './words.ts';
import { Notice } from '../parts/notice.tsx';

/** One message: where it is, what to do, and every step. */
export function MessagePage({ id }: { id: string }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { language } = useLanguage();
  const load = useLoad<MessageDetail>(`/api/drift/messages/${encodeURIComponent(id)}`);
  const title = load.data
    ? t('message.title', { type: messageFunction(load.data.subject, language), time: format.shortDateTime(load.data.received_at) })
    : t('messages.title');
  return (
    <Page
      isWide
      title={title}
      crumbs={[{ text: t('menu.home'), href: '/drift' }, { text: t('messages.title'), href: '/drift/meldinger' }, { text: title }]}
      actions={<PrintButton />}
    >
      <Loaded load={load} waiting={t('message.loading')}>
        {(message) => <Detail message={message} onChange={load.reload} />}
      </Loaded>
    </Page>
  );
}

function Detail({ message, onChange }: { message: MessageDetail; onChange: () => void }) {
  const t = useTexts(drift);
  const say = useStateText();
  const party = (p: MessageDetail['from']) => `${p.name ?? t('message.unknown')}, ${t('message.her', { id: p.her_id || '–' })}`;
  return (
    <>
      <p className="lead">
        <State tone={toneOf(message)}>{say(message, message.ahead)}</State>
      </p>
      {message.alert && (
        <Notice variant="error">
          {t(`alert.${message.alert}`)}
        </Notice>
      )}
      <ToDo message={message} />
      <Again message={message} onChange={onChange} />
      <Facts
        rows={[
          [t('message.from'), party(message.from)],
          [t('message.to'), party(message.to)],
        ]}
      />
      <div className="message-columns">
        <Section id="steps" title={t('message.steps')}>
          <Steps steps={message.steps} />
        </Section>
        <div>
          <Section id="envelope" title={t('message.envelope')}>
            <Envelope message={message} />
          </Section>
          {message.subject !== 'APPREC' && (
            <Section id="receipt" title={t('message.receipt')}>
              <Receipt message={message} />
            </Section>
          )}
          <Section id="original" title={t('message.original')}>
            <Original message={message} />
          </Section>
        </div>
      </div>
      <Section id="related" title={t('message.related')}>
        <Related message={message} />
      </Section>
    </>
  );
}

function ToDo({ message }: { message: MessageDetail }) {
  const t = useTexts(drift);
  const format = useFormat();
  const text = (() => {
    switch (message.state.code) {
      case 'rejected':
        return t('message.do.rejected');
      case 'failed':
        return t('message.do.failed');
      case 'overdue':
        return t('message.do.overdue');
      case 'collected':
        return message.receipt_until ? t('message.do.waiting', { time: format.shortDateTime(message.receipt_until) }) : null;
      default:
        return null;
    }
  })();
  if (!text || message.can_put_back) return null;
  return (
    <div className="to-do">
      <p>
        <strong>{t('message.do')}:</strong> {text}
      </p>
      {(message.state.code === 'rejected' || message.state.code === 'failed') && (
        <p>
          <a href="/drift/validator">{t('message.validate')}</a>
        </p>
      )}
    </div>
  );
}

/** Sends once more what nobody has taken. */
function Again({ message, onChange }: { message: MessageDetail; onChange: () => void }) {
  const t = useTexts(drift);
  const [fault, setFault] = useState<Fault>();
  const [isDone, setDone] = useState(false);
  const send = () => {
    setFault(undefined);
    post(`/api/drift/messages/${encodeURIComponent(message.id)}/put-back`).then(
      () => {
        setDone(true);
        onChange();
      },
      (cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown')),
    );
  };
  return (
    <>
      {message.can_put_back && (
        <div className="to-do">
          <p>{t('message.again.text')}</p>
          <Button variant="outline" onClick={send}>
            {t('message.again')}
          </Button>
          {fault && <FaultNotice fault={fault} onRetry={send} />}
        </div>
      )}
      <p role="status">{isDone && t('message.again.done')}</p>
    </>
  );
}

function Steps({ steps }: { steps: readonly Step[] }) {
  const format = useFormat();
  const say = useStepText();
  return (
    <ol className="steps">
      {steps.map((step, i) => {
        const { title, detail, tone } = say(step);
        return (
          <li key={i} className={`steps__item steps__item--${tone}`}>
            <time dateTime={step.at} title={format.dateTime(step.at)}>
              {format.seconds(step.at)}
            </time>
            <div>
              <State tone={tone}>{title}</State>
              {detail && <p className="muted">{detail}</p>}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

function Envelope({ message }: { message: MessageDetail }) {
  const t = useTexts(drift);
  const format = useFormat();
  const { envelope } = message;
  const code = (text: string | null) => text && <code className="long-code">{text}</code>;
  return (
    <Facts
      rows={[
        [t('envelope.subject'), code(message.subject)],
        [
          t('envelope.way'),
          envelope.transport && envelope.road ? t('envelope.way.text', { transport: t(`transport.${envelope.transport}`), road: t(`road.${envelope.road}`) }) : null,
        ],
        [t('envelope.schema'), code(envelope.schema ?? null)],
        [t('envelope.cpa'), code(envelope.cpa_id ?? null)],
        [t('envelope.system'), envelope.system ?? null],
        [t('envelope.next'), envelope.next_attempt_at ? format.dateTime(envelope.next_attempt_at) : null],
        [t('envelope.queue'), code(envelope.queue)],
        [t('envelope.message_id'), code(envelope.message_id)],
        [t('envelope.msg_id'), code(envelope.msg_id)],
        [t('envelope.conversation'), code(envelope.conversation)],
        [t('envelope.content_type'), code(envelope.content_type)],
        [t('envelope.bytes'), t('envelope.bytes.n', { n: format.count(envelope.bytes) })],
        [t('envelope.sent_at'), format.dateTime(envelope.sent_at)],
        [t('envelope.received_at'), format.dateTime(message.received_at)],
        [t('envelope.failed'), envelope.failed_deliveries > 0 ? String(envelope.failed_deliveries) : null],
      ]}
    />
  );
}

function Receipt({ message }: { message: MessageDetail }) {
  const t = useTexts(drift);
  const { language } = useLanguage();
  const { receipt } = message;
  if (!receipt) return <p>{t('message.receipt.none')}</p>;
  if (receipt.kind === 'sealed') return <p>{t('message.receipt.sealed')}</p>;
  const { status } = receipt;
  const word = status === '1' || status === '2' || status === '3' ? t(`message.receipt.${status}`) : status;
  return (
    <Facts
      rows={[
        [t('message.receipt.status'), word],
        [t('message.receipt.codes'), errorCodes(receipt.codes, language)],
      ]}
    />
  );
}

function Original({ message }: { message: MessageDetail }) {
  const t = useTexts(drift);
  const { view } = useSession();
  if (view?.kind !== 'party') return <p>{t('message.original.party')}</p>;
  if (!message.has_original) return <p>{t('message.original.none')}</p>;
  return (
    <>
      <p>{t('message.original.text')}</p>
      <p>
        <a href={`/api/drift/messages/${encodeURIComponent(message.id)}/original`} download>
          {t('message.original.download')}
        </a>
      </p>
    </>
  );
}

function Related({ message }: { message: MessageDetail }) {
  const t = useTexts(drift);
  if (message.related.length === 0) return <p>{t('message.related.none')}</p>;
  const relations = [...new Set(message.related.map((r) => r.relation))];
  return relations.map((relation) => (
    <div key={relation}>
      <h3>{t(`message.related.${relation}`)}</h3>
      <MessageTable rows={message.related.filter((r) => r.relation === relation).map((r) => r.row)} />
    </div>
  ));
}
