import Button from '@helsenorge/designsystem-react/components/Button';
import { useState, type FormEvent } from 'react';
import { post } from '../api/client.ts';
import { clientPage, type ClientsOverview } from '../api/clients.ts';
import { useLoad } from '../api/load.ts';
import { clients } from '../i18n/clients.ts';
import { useTexts } from '../i18n/texts.tsx';
import { SelectField, TextField, FieldError } from '../parts/fields.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Loaded } from '../parts/source.tsx';
import { navigate } from '../router.tsx';
import { ActFault, useAct, useFirstWrong } from './clientParts.tsx';
import { useClientCrumbs } from './Clients.tsx';

/** Registers a client; keys, scopes and addresses follow on its own page. */
export function ClientNewPage() {
  const t = useTexts(clients);
  const load = useLoad<ClientsOverview>('/api/drift/clients');
  return (
    <Page title={t('new.title')} crumbs={useClientCrumbs(t('new.title'))}>
      <Loaded load={load} waiting={t('loading')}>
        {(overview) =>
          overview.systems.length === 0 ? (
            <Empty text={t('new.none')}>
              <p>
                <a href="/drift/klienter">{t('systems')}</a>
              </p>
            </Empty>
          ) : (
            <Form overview={overview} />
          )
        }
      </Loaded>
    </Page>
  );
}

function Form({ overview }: { overview: ClientsOverview }) {
  const t = useTexts(clients);
  const { fault, isBusy, run } = useAct();
  const [systemId, setSystemId] = useState(overview.systems.length === 1 ? (overview.systems[0]?.id ?? '') : '');
  const [name, setName] = useState('');
  const [organisation, setOrganisation] = useState(overview.own_orgnr ?? '');
  const [errors, setErrors] = useState<{ system?: string; name?: string; organisation?: string }>({});
  const form = useFirstWrong(errors);
  const system = overview.systems.find((one) => one.id === systemId);
  // A party registers for itself; a supplier also for its customers.
  const asksForOrganisation = system?.tenancy !== 'multi' && (overview.own_orgnr === null || system?.supplier.orgnr === overview.own_orgnr);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = {
      ...(system ? {} : { system: t('new.missing.system') }),
      ...(name.trim() ? {} : { name: t('new.missing.name') }),
      ...(asksForOrganisation && !/^\d{9}$/.test(organisation.trim()) ? { organisation: t('new.missing.organisation') } : {}),
    };
    setErrors(found);
    if (Object.keys(found).length > 0) return;
    void run(async () => {
      const made = await post<{ client_id: string }>('/api/drift/clients', {
        system: systemId,
        name: name.trim(),
        organisation: asksForOrganisation ? organisation.trim() : null,
        // With it a client of HelseID renews its own key.
        scopes: system?.users === 'personnel' ? ['nhn:selvbetjening/client'] : [],
      });
      navigate(clientPage(made.client_id));
    });
  };
  return (
    <form ref={form} className="stack" onSubmit={submit} noValidate>
      <div>
        <SelectField label={t('new.system')} value={systemId} onChange={(event) => setSystemId(event.target.value)} aria-invalid={errors.system ? true : undefined} aria-describedby="new-system-error">
          <option value="">{t('new.system.choose')}</option>
          {overview.systems.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name} ({one.supplier.name})
            </option>
          ))}
        </SelectField>
        <FieldError id="new-system-error" text={errors.system} />
      </div>
      <TextField label={t('new.name')} hint={t('new.name.hint')} value={name} onChange={(event) => setName(event.target.value)} error={errors.name} maxLength={100} size={36} autoComplete="off" />
      {asksForOrganisation && (
        <TextField
          label={t('new.organisation')}
          hint={t('new.organisation.hint')}
          value={organisation}
          onChange={(event) => setOrganisation(event.target.value)}
          error={errors.organisation}
          inputMode="numeric"
          maxLength={9}
          size={9}
          autoComplete="off"
        />
      )}
      {fault && <ActFault fault={fault} />}
      <div className="buttons">
        <Button type="submit" disabled={isBusy}>
          {t('new.do')}
        </Button>
      </div>
    </form>
  );
}
