import Button from '@helsenorge/designsystem-react/components/Button';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { Fault, post } from '../api/client.ts';
import type { Hit } from '../api/personnel.ts';
import { useFormat } from '../i18n/format.ts';
import { personnel } from '../i18n/personnel.ts';
import { useTexts } from '../i18n/texts.tsx';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { FaultNotice } from '../parts/source.tsx';
import { isFirstPage, navigate } from '../router.tsx';
import { useRecord } from './record.tsx';

/** Finds a patient by id, or by name and birth year. Nothing clinical yet. */
export function FindPage() {
  const t = useTexts(personnel);
  const record = useRecord();
  const [query, setQuery] = useState('');
  const [hits, setHits] = useState<Hit[]>();
  const [error, setError] = useState('');
  const [fault, setFault] = useState<Fault>();
  const field = useRef<HTMLInputElement>(null);
  useSlashShortcut(() => field.current?.focus());
  // Coming back to the search closes the record.
  const onArrival = useRef(record);
  useEffect(() => {
    if (onArrival.current.choice) onArrival.current.leave();
  }, []);

  const fail = (cause: unknown) => setFault(cause instanceof Fault ? cause : new Fault(0, 'unknown'));
  const search = async (event: FormEvent) => {
    event.preventDefault();
    setFault(undefined);
    setHits(undefined);
    const wanted = query.trim();
    setError(wanted ? '' : t('find.empty'));
    if (!wanted) return field.current?.focus();
    try {
      setHits(await post<Hit[]>('/api/personnel/find', { query: wanted.replace(/^(\d{6})\s+(\d{5})$/, '$1$2') }));
    } catch (cause) {
      if (cause instanceof Fault && cause.status === 400) setError(t('find.bad'));
      else fail(cause);
    }
  };
  const choose = async (hit: Hit) => {
    try {
      // Its own page opens only with an answer: the page says nothing before.
      await record.choose(hit.nin);
      navigate('/helsepersonell/pasient');
    } catch (cause) {
      fail(cause);
    }
  };
  return (
    <Page title={t('find.title')}>
      <form className="inline-form" role="search" onSubmit={(event) => void search(event)}>
        <TextField
          ref={field}
          label={t('find.label')}
          hint={t('find.hint')}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          autoComplete="off"
          autoFocus={isFirstPage()}
          error={error}
          size={28}
        />
        <Button type="submit">{t('find.do')}</Button>
      </form>
      <p className="muted">{t('find.logged')}</p>
      {fault && <FaultNotice fault={fault} />}
      <div role="status">{hits?.length === 0 && <p className="empty">{t('find.none')}</p>}</div>
      {hits && hits.length > 0 && <Hits hits={hits} onChoose={(hit) => void choose(hit)} />}
    </Page>
  );
}

function Hits({ hits, onChoose }: { hits: readonly Hit[]; onChoose: (hit: Hit) => void }) {
  const t = useTexts(personnel);
  const format = useFormat();
  return (
    <Section id="hits" title={t('find.hits', { n: hits.length })}>
      <ul className="hits">
        {hits.map((hit) => (
          <li key={hit.nin}>
            <div>
              <strong>{hit.name}</strong>
              <p className="muted">
                {[hit.born && t('find.born', { date: format.shortDate(hit.born) }), hit.municipality].filter(Boolean).join(' · ')}
              </p>
            </div>
            <Button variant="outline" aria-label={t('find.choose.of', { name: hit.name })} onClick={() => onChoose(hit)}>
              {t('find.choose')}
            </Button>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** `/` goes to the search field, unless one is writing. */
function useSlashShortcut(go: () => void): void {
  const latest = useRef(go);
  latest.current = go;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || target.closest('input, textarea, select')) return;
      event.preventDefault();
      latest.current();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
}
