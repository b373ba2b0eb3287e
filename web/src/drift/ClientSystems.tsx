import Button from '@helsenorge/designsystem-react/components/Button';
import { useId, useState, type FormEvent } from 'react';
import { post } from '../api/client.ts';
import type { ClientSystem, Delegation, Users } from '../api/clients.ts';
import { clients } from '../i18n/clients.ts';
import { useFormat } from '../i18n/format.ts';
import { shell } from '../i18n/shell.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/fields.tsx';
import { Section } from '../parts/page.tsx';
import { Empty } from '../parts/source.tsx';
import { ActFault, Checks, Radios, Sure, useAct, useFirstWrong } from './clientParts.tsx';

const ORGNR = /^\d{9}$/;

/** The products from which clients are made. */
export function Systems({ systems, isOperator, onChange }: { systems: readonly ClientSystem[]; isOperator: boolean; onChange: () => void }) {
  const t = useTexts(clients);
  const [isAdding, setAdding] = useState(false);
  const [keyFor, setKeyFor] = useState<ClientSystem>();
  const uses = (system: ClientSystem) => [system.user_login && t('use.login'), system.machine && t('use.machine')].filter(Boolean).join(', ');
  return (
    <Section
      id="systems"
      title={t('systems')}
      aside={
        <Button variant="outline" onClick={() => setAdding(true)}>
          {t('systems.new')}
        </Button>
      }
    >
      <p>{t('systems.text')}</p>
      {systems.length === 0 ? (
        <Empty text={t('systems.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('systems')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.system')}</th>
              <th scope="col">{t('col.supplier')}</th>
              <th scope="col">{t('col.use')}</th>
              <th scope="col">{t('col.apikey')}</th>
            </tr>
          </thead>
          <tbody>
            {systems.map((system) => (
              <tr key={system.id}>
                <th scope="row" data-label={t('col.system')}>
                  {system.name}
                </th>
                <td data-label={t('col.supplier')}>{system.supplier.name}</td>
                <td data-label={t('col.use')}>
                  {system.users === 'personnel' ? `${t(`tenancy.${system.tenancy}`)}: ${uses(system)}` : t(`users.${system.users}`)}
                </td>
                <td data-label={t('col.apikey')}>
                  {system.tenancy === 'single' && system.users !== 'citizens-app' ? (
                    <span className="acts">
                      <span>{system.has_api_key ? t('apikey.has') : t('apikey.no')}</span>
                      {system.is_own && (
                        <button type="button" className="quiet-button" aria-label={t('apikey.new.named', { system: system.name })} onClick={() => setKeyFor(system)}>
                          {t('apikey.new')}
                        </button>
                      )}
                    </span>
                  ) : (
                    '–'
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {isAdding && (
        <SystemDialog
          isOperator={isOperator}
          onClose={() => setAdding(false)}
          onDone={() => {
            setAdding(false);
            onChange();
          }}
        />
      )}
      {keyFor && (
        <ApiKeyDialog
          system={keyFor}
          onClose={() => {
            setKeyFor(undefined);
            onChange();
          }}
        />
      )}
    </Section>
  );
}

function ApiKeyDialog({ system, onClose }: { system: ClientSystem; onClose: () => void }) {
  const t = useTexts(clients);
  const s = useTexts(shell);
  const [key, setKey] = useState('');
  const [isCopied, setCopied] = useState(false);
  if (!key) {
    return (
      <Sure
        title={t('apikey.title')}
        act={t('apikey.do')}
        onClose={onClose}
        onAct={async () => setKey((await post<{ api_key: string }>(`/api/drift/client-systems/${encodeURIComponent(system.id)}/api-key`)).api_key)}
      >
        <p>{t('apikey.text', { system: system.name })}</p>
      </Sure>
    );
  }
  return (
    <Dialog
      key="made"
      title={t('apikey.label')}
      onClose={onClose}
      actions={
        <>
          <Button onClick={() => void navigator.clipboard.writeText(key).then(() => setCopied(true), () => undefined)}>{t('copy')}</Button>
          <Button variant="outline" onClick={onClose}>
            {s('close')}
          </Button>
        </>
      }
    >
      <p>{t('apikey.done')}</p>
      <p>
        <code className="long-code secret">{key}</code>
      </p>
      <div role="status">{isCopied && <p>{t('copied')}</p>}</div>
    </Dialog>
  );
}

function SystemDialog({ isOperator, onClose, onDone }: { isOperator: boolean; onClose: () => void; onDone: () => void }) {
  const t = useTexts(clients);
  const s = useTexts(shell);
  const id = useId();
  const { fault, isBusy, run } = useAct();
  const [name, setName] = useState('');
  const [supplier, setSupplier] = useState('');
  const [users, setUsers] = useState<Users>('personnel');
  const [tenancy, setTenancy] = useState<'single' | 'multi'>('single');
  const [uses, setUses] = useState<ReadonlySet<string>>(new Set(['user_login', 'machine']));
  const [errors, setErrors] = useState<{ name?: string; supplier?: string }>({});
  const form = useFirstWrong(errors);
  const isOfPersonnel = users === 'personnel';

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = {
      ...(name.trim() ? {} : { name: t('new.missing.name') }),
      ...(isOperator && !ORGNR.test(supplier.trim()) ? { supplier: t('new.missing.organisation') } : {}),
    };
    setErrors(found);
    if (Object.keys(found).length > 0) return;
    void run(async () => {
      await post('/api/drift/client-systems', {
        name: name.trim(),
        supplier: isOperator ? supplier.trim() : null,
        users,
        tenancy: isOfPersonnel ? tenancy : 'single',
        user_login: !isOfPersonnel || uses.has('user_login'),
        machine: isOfPersonnel && uses.has('machine'),
        refresh: !isOfPersonnel || uses.has('user_login'),
        native: uses.has('native'),
      });
      onDone();
    });
  };
  return (
    <Dialog
      title={t('systems.new')}
      onClose={onClose}
      actions={
        <>
          <Button disabled={isBusy} onClick={() => form.current?.requestSubmit()}>
            {t('system.do')}
          </Button>
          <Button variant="outline" onClick={onClose}>
            {s('cancel')}
          </Button>
        </>
      }
    >
      <form ref={form} className="stack" onSubmit={submit} noValidate>
        <TextField label={t('system.name')} value={name} onChange={(event) => setName(event.target.value)} error={errors.name} maxLength={100} size={30} autoComplete="off" />
        {isOperator && (
          <TextField
            label={t('system.supplier')}
            value={supplier}
            onChange={(event) => setSupplier(event.target.value)}
            error={errors.supplier}
            inputMode="numeric"
            maxLength={9}
            size={9}
            autoComplete="off"
          />
        )}
        <Radios
          legend={t('system.users')}
          name={`${id}-users`}
          options={[
            ['personnel', t('system.users.personnel')],
            ['citizens', t('system.users.citizens')],
            ['citizens-app', t('system.users.citizens-app')],
          ]}
          taken={users}
          onChange={setUsers}
        />
        {isOfPersonnel && (
          <>
            <Radios
              legend={t('system.tenancy')}
              name={`${id}-tenancy`}
              options={[
                ['single', t('tenancy.single')],
                ['multi', t('tenancy.multi')],
              ]}
              taken={tenancy}
              onChange={setTenancy}
            />
            <Checks
              legend={t('system.use')}
              options={[
                ['user_login', t('system.user_login')],
                ['machine', t('system.machine')],
                ['native', t('system.native')],
              ]}
              taken={uses}
              onChange={setUses}
            />
          </>
        )}
        {/* A form with a field is sent by Enter. */}
        <button type="submit" className="hidden" tabIndex={-1} aria-hidden="true" />
      </form>
      {fault && <ActFault fault={fault} />}
    </Dialog>
  );
}

/** Which organisations let which suppliers act for them. */
export function Delegations({ delegations, isOperator, onChange }: { delegations: readonly Delegation[]; isOperator: boolean; onChange: () => void }) {
  const t = useTexts(clients);
  const format = useFormat();
  const [isGiving, setGiving] = useState(false);
  const [ending, setEnding] = useState<Delegation>();
  return (
    <Section
      id="delegations"
      title={t('delegations')}
      aside={
        <Button variant="outline" onClick={() => setGiving(true)}>
          {t('delegations.give')}
        </Button>
      }
    >
      <p>{t('delegations.text')}</p>
      {delegations.length === 0 ? (
        <Empty text={t('delegations.none')} />
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('delegations')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('col.organisation')}</th>
              <th scope="col">{t('col.supplier')}</th>
              <th scope="col">{t('col.since')}</th>
              <th scope="col">{t('col.do')}</th>
            </tr>
          </thead>
          <tbody>
            {delegations.map((one) => (
              <tr key={`${one.organisation.orgnr} ${one.supplier.orgnr}`}>
                <th scope="row" data-label={t('col.organisation')}>
                  {one.organisation.name}
                </th>
                <td data-label={t('col.supplier')}>{one.supplier.name}</td>
                <td data-label={t('col.since')}>{format.shortDate(one.since.slice(0, 10))}</td>
                <td data-label={t('col.do')}>
                  {one.is_own ? (
                    <button
                      type="button"
                      className="quiet-button quiet-button--danger"
                      aria-label={t('delegations.withdraw.named', { organisation: one.organisation.name, supplier: one.supplier.name })}
                      onClick={() => setEnding(one)}
                    >
                      {t('delegations.withdraw')}
                    </button>
                  ) : (
                    '–'
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {ending && (
        <Sure
          title={t('delegations.withdraw.title')}
          act={t('delegations.withdraw')}
          isDestructive
          onClose={() => setEnding(undefined)}
          onAct={async () => {
            await post('/api/drift/delegations', { organisation: ending.organisation.orgnr, supplier: ending.supplier.orgnr, on: false });
            setEnding(undefined);
            onChange();
          }}
        >
          <p>{t('delegations.withdraw.text', { supplier: ending.supplier.name, organisation: ending.organisation.name })}</p>
        </Sure>
      )}
      {isGiving && (
        <GiveDialog
          isOperator={isOperator}
          onClose={() => setGiving(false)}
          onDone={() => {
            setGiving(false);
            onChange();
          }}
        />
      )}
    </Section>
  );
}

function GiveDialog({ isOperator, onClose, onDone }: { isOperator: boolean; onClose: () => void; onDone: () => void }) {
  const t = useTexts(clients);
  const [organisation, setOrganisation] = useState('');
  const [supplier, setSupplier] = useState('');
  const [isWrong, setWrong] = useState(false);
  const wrong = (value: string) => (isWrong && !ORGNR.test(value.trim()) ? t('new.missing.organisation') : undefined);
  return (
    <Sure
      title={t('delegations.give')}
      act={t('delegations.give')}
      onClose={onClose}
      onAct={async () => {
        const isRight = ORGNR.test(supplier.trim()) && (!isOperator || ORGNR.test(organisation.trim()));
        setWrong(!isRight);
        if (!isRight) return;
        await post('/api/drift/delegations', { organisation: isOperator ? organisation.trim() : null, supplier: supplier.trim(), on: true });
        onDone();
      }}
    >
      {isOperator && (
        <TextField label={t('delegations.organisation')} value={organisation} onChange={(event) => setOrganisation(event.target.value)} error={wrong(organisation)} inputMode="numeric" maxLength={9} size={9} autoComplete="off" />
      )}
      <TextField label={t('delegations.supplier')} value={supplier} onChange={(event) => setSupplier(event.target.value)} error={wrong(supplier)} inputMode="numeric" maxLength={9} size={9} autoComplete="off" />
    </Sure>
  );
}
