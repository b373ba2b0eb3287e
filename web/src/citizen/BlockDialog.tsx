import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, type FormEvent } from 'react';
import type { AccessView, PractitionerHit, Whom } from '../api/citizen.ts';
import { Fault, post } from '../api/client.ts';
import { citizen } from '../i18n/citizen.ts';
import { shell } from '../i18n/shell.ts';
import { useLanguage, useTexts } from '../i18n/texts.tsx';
import { role } from '../i18n/words.ts';
import { Dialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/fields.tsx';
import { FaultNotice } from '../parts/source.tsx';

/** Whom to block: the name only when it may be shown. */
export interface BlockTarget {
  whom: Whom;
  name: string | null;
  place: string | null;
}

interface BlockDialogProps {
  /** Given when chosen from the log; else the dialog begins with a search. */
  target?: BlockTarget | undefined;
  onClose: () => void;
  onBlocked: (view: AccessView) => void;
}

/** Blocks a person: what it means in three sentences, then one press. */
export function BlockDialog({ target, onClose, onBlocked }: BlockDialogProps) {
  const t = useTexts(citizen);
  const s = useTexts(shell);
  const [chosen, setChosen] = useState(target);
  const [fault, setFault] = useState<Fault>();
  const [isBusy, setBusy] = useState(false);

  const block = async () => {
    if (!chosen) return;
    setBusy(true);
    setFault(undefined);
    try {
      onBlocked(await post<AccessView>('/api/citizen/access/block', chosen.whom));
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
      setBusy(false);
    }
  };
  if (!chosen) {
    return (
      <Dialog
        title={t('block.title')}
        onClose={onClose}
        actions={
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        }
      >
        <Search onChoose={setChosen} />
      </Dialog>
    );
  }
  const title = chosen.name ? t('block.title.named', { name: chosen.name }) : t('block.title.nameless');
  return (
    <Dialog
      key="sure"
      isAlert
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button concept="destructive" disabled={isBusy} onClick={() => void block()}>
            {t('block.do')}
          </Button>
          <Button variant="outline" onClick={target ? onClose : () => setChosen(undefined)}>
            {target ? s('cancel') : t('block.other')}
          </Button>
        </>
      }
    >
      {chosen.place && <p>{chosen.place}</p>}
      <ul>
        <li>{t('block.what.1')}</li>
        <li>{t('block.what.2')}</li>
        <li>{t('block.what.3')}</li>
      </ul>
      {fault && <FaultNotice fault={fault} />}
    </Dialog>
  );
}

function Search({ onChoose }: { onChoose: (target: BlockTarget) => void }) {
  const t = useTexts(citizen);
  const { language } = useLanguage();
  const [query, setQuery] = useState('');
  const [hits, setHits] = useState<PractitionerHit[]>();
  const [error, setError] = useState('');
  const [fault, setFault] = useState<Fault>();

  const search = async (event: FormEvent) => {
    event.preventDefault();
    setFault(undefined);
    const wanted = query.trim();
    setError(wanted.length < 3 ? t('block.search.short') : '');
    if (wanted.length < 3) return;
    try {
      setHits(await post<PractitionerHit[]>('/api/citizen/access/search', { query: wanted }));
    } catch (cause) {
      setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
    }
  };
  return (
    <>
      <form onSubmit={(event) => void search(event)} className="inline-form">
        <TextField
          label={t('block.search')}
          hint={t('block.search.hint')}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          autoComplete="off"
          error={error}
          size={24}
        />
        <Button type="submit">{t('block.search.do')}</Button>
      </form>
      {fault && <FaultNotice fault={fault} />}
      <div role="status">{hits?.length === 0 && <p>{t('block.search.none')}</p>}</div>
      {hits && hits.length > 0 && (
        <>
          <h3 id="block-hits">{t('block.hits')}</h3>
          <ul className="choices" aria-labelledby="block-hits">
            {hits.map((hit) => (
              <li key={hit.hpr}>
                <button type="button" className="choice" onClick={() => onChoose({ whom: { hpr: hit.hpr }, name: hit.name, place: hit.organisation })}>
                  <strong>{hit.name}</strong>
                  <small>{[role(hit.role, language), hit.organisation].filter(Boolean).join(', ')}</small>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
