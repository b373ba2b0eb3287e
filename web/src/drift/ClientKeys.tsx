import Button from '@helsenorge/designsystem-react/components/Button';
import { useId, useState } from 'react';
import { post } from '../api/client.ts';
import { clientPath, type ClientDetail, type ClientKey } from '../api/clients.ts';
import { clients } from '../i18n/clients.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { FieldError, SelectField } from '../parts/fields.tsx';
import { Notice } from '../parts/notice.tsx';
import { Section } from '../parts/page.tsx';
import { Empty } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { ActFault, Radios, Sure, useAct } from './clientParts.tsx';
import { canMakeKeys, download, makeKeyPair, readPublicJwk, type KeyKind, type KeyPair } from './keys.ts';

interface OfClient {
  client: ClientDetail;
  onChange: (view: ClientDetail | null) => void;
}

const KEY_TONES: Record<ClientKey['state'], Tone> = { ok: 'good', ends_soon: 'watch', expired: 'quiet' };

/** Keys of a client; new ones are made here in the browser. */
export function KeySection({ client, onChange }: OfClient) {
  const t = useTexts(clients);
  const [isAdding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<ClientKey>();
  const change = (view: ClientDetail | null) => {
    setAdding(false);
    setRemoving(undefined);
    onChange(view);
  };
  const isKeyless = client.keys_state === 'not_needed';
  const isLast = removing?.state !== 'expired' && client.key_list.filter((key) => key.state !== 'expired').length === 1;
  return (
    <Section
      id="keys"
      title={t('key.list')}
      aside={
        client.may_change && !isKeyless && (
          <Button variant="outline" onClick={() => setAdding(true)}>
            {t('key.new')}
          </Button>
        )
      }
    >
      {client.key_list.length === 0 ? <Empty text={t(isKeyless ? 'key.not_needed' : 'key.none')} /> : <Table client={client} onRemove={setRemoving} />}
      {isAdding && <AddDialog client={client} onClose={() => setAdding(false)} onChange={change} />}
      {removing && (
        <Sure
          title={t('key.remove.title')}
          act={t('key.remove')}
          isDestructive
          onClose={() => setRemoving(undefined)}
          onAct={async () => change(await post<ClientDetail | null>(clientPath(client.client_id, '/keys/remove'), { thumbprint: removing.thumbprint }))}
        >
          <p>{t('key.remove.text', { kid: removing.kid ?? removing.thumbprint })}</p>
          {isLast && (
            <p>
              <strong>{t('key.remove.last')}</strong>
            </p>
          )}
        </Sure>
      )}
    </Section>
  );
}

function Table({ client, onRemove }: { client: ClientDetail; onRemove: (key: ClientKey) => void }) {
  const t = useTexts(clients);
  const format = useFormat();
  return (
    <table className="compact compact--blocks">
      <caption className="hidden">{t('key.list')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('key.kid')}</th>
          <th scope="col">{t('col.state')}</th>
          <th scope="col">{t('key.kind')}</th>
          <th scope="col">{t('key.origin')}</th>
          <th scope="col">{t('key.valid')}</th>
          {client.may_change && <th scope="col">{t('col.do')}</th>}
        </tr>
      </thead>
      <tbody>
        {client.key_list.map((key) => (
          <tr key={key.thumbprint}>
            <th scope="row" data-label={t('key.kid')}>
              <code className="long-code">{key.kid ?? key.thumbprint}</code>
            </th>
            <td data-label={t('col.state')}>
              <State tone={KEY_TONES[key.state]}>{t(`key.state.${key.state}`)}</State>
            </td>
            <td data-label={t('key.kind')}>{[key.kind, key.alg].filter(Boolean).join(', ')}</td>
            <td data-label={t('key.origin')}>{t(`key.origin.${key.origin}`)}</td>
            <td data-label={t('key.valid')}>{key.expires ? format.shortDateTime(key.expires) : t('key.always')}</td>
            {client.may_change && (
              <td data-label={t('col.do')}>
                <button type="button" className="quiet-button quiet-button--danger" aria-label={t('key.remove.named', { kid: key.kid ?? key.thumbprint })} onClick={() => onRemove(key)}>
                  {t('key.remove')}
                </button>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

type How = 'here' | 'paste';

function AddDialog({ client, onClose, onChange }: OfClient & { onClose: () => void }) {
  const t = useTexts(clients);
  const s = useTexts(shell);
  const field = useId();
  const { fault, isBusy, run } = useAct();
  const [how, setHow] = useState<How>(canMakeKeys() ? 'here' : 'paste');
  const [kind, setKind] = useState<KeyKind>('p256');
  const [pair, setPair] = useState<KeyPair>();
  const [isKept, setKept] = useState(false);
  const [text, setText] = useState('');
  const [error, setError] = useState('');

  const register = (jwk: unknown) => run(async () => onChange(await post<ClientDetail | null>(clientPath(client.client_id, '/keys'), { jwk })));
  const next = () => {
    setError('');
    if (how === 'paste') {
      const read = readPublicJwk(text);
      if ('error' in read) return setError(t(`key.paste.${read.error}`));
      return void register(read.jwk);
    }
    if (!pair) return void run(async () => setPair(await makeKeyPair(kind)));
    if (!isKept) return setError(t('key.made.first'));
    return void register(pair.publicJwk);
  };
  const save = () => {
    if (!pair) return;
    download(`${client.client_id.replace(/[^\w.-]/g, '_')}.json`, { client_id: client.client_id, issuer: client.issuer, private_jwk: pair.privateJwk });
    setKept(true);
    setError('');
  };
  const act = how === 'paste' || pair ? t('key.made.register') : isBusy ? t('key.make.busy') : t('key.make.do');
  return (
    <Dialog
      key={pair ? 'made' : 'make'}
      title={t('key.make.title')}
      onClose={onClose}
      actions={
        <>
          <Button disabled={isBusy} onClick={next}>
            {act}
          </Button>
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      {pair ? (
        <>
          <p>{t('key.made.text')}</p>
          <p>
            {t('key.kid')}: <code className="long-code">{pair.publicJwk.kid}</code>
          </p>
          <div className="buttons">
            <Button variant="outline" onClick={save}>
              {t('key.made.download')}
            </Button>
          </div>
          <div role="status">{isKept && <Notice>{t('key.made.downloaded')}</Notice>}</div>
          <FieldError id={`${field}-error`} text={error} />
        </>
      ) : (
        <>
          <p>{t('key.make.text')}</p>
          {canMakeKeys() ? (
            <Radios
              legend={t('key.make.how')}
              name={`${field}-how`}
              options={[
                ['here', t('key.make.here')],
                ['paste', t('key.make.paste')],
              ]}
              taken={how}
              onChange={setHow}
            />
          ) : (
            <Notice>{t('key.make.cannot')}</Notice>
          )}
          {how === 'here' ? (
            <SelectField label={t('key.make.kind')} value={kind} onChange={(event) => setKind(event.target.value as KeyKind)}>
              {(['p256', 'p384', 'rsa4096'] as const).map((one) => (
                <option key={one} value={one}>
                  {t(`key.make.${one}`)}
                </option>
              ))}
            </SelectField>
          ) : (
            <div className={error ? 'field field--wrong' : 'field'}>
              <label htmlFor={field}>{t('key.paste.label')}</label>
              <textarea
                id={field}
                className="code-field"
                rows={8}
                spellCheck={false}
                autoComplete="off"
                value={text}
                onChange={(event) => setText(event.target.value)}
                aria-invalid={error ? true : undefined}
                aria-describedby={error ? `${field}-error` : undefined}
              />
              <FieldError id={`${field}-error`} text={error} />
            </div>
          )}
        </>
      )}
      {fault && <ActFault fault={fault} />}
    </Dialog>
  );
}
