import { useLoad } from '../api/load.ts';
import { PARTIES, type PartyDetails } from '../api/parties.ts';
import { useFormat } from '../i18n/format.ts';
import { parties } from '../i18n/parties.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Facts } from '../parts/facts.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { State, type Tone } from '../parts/state.tsx';
import { Outline, across, down } from './Outline.tsx';
import { PartyState, PartyTable } from './Parties.tsx';

const CERTIFICATE_TONES: Record<PartyDetails['certificates'][number]['state'], Tone> = {
  ok: 'good',
  soon: 'watch',
  late: 'bad',
  expired: 'quiet',
  revoked: 'bad',
};

/** One communication party: what it is, where it is reached, with which certificates, and its organisation. */
export function PartyPageView({ herId }: { herId: string }) {
  const t = useTexts(parties);
  const load = useLoad<PartyDetails>(`/api/drift/parties/${encodeURIComponent(herId)}`);
  return (
    <Page isWide title={load.data?.row.name ?? t('title')}>
      <p>
        <a href={PARTIES}>{t('back')}</a>
      </p>
      <Loaded load={load} waiting={t('loading')}>
        {(party) => <Details party={party} />}
      </Loaded>
    </Page>
  );
}

function Details({ party }: { party: PartyDetails }) {
  const t = useTexts(parties);
  const format = useFormat();
  const { row } = party;
  const from = format.date(party.valid_from);
  return (
    <>
      <p className="lead">
        <PartyState row={row} />
      </p>
      <Section id="about" title={t('about')}>
        <Facts
          rows={[
            [t('col.her'), row.her_id],
            [t('col.kind'), t(`kind.${row.kind}`)],
            [t('service'), row.service],
            [t('orgnr'), row.orgnr],
            [t('hpr'), party.hpr],
            [t('search.business'), party.business_type],
            [t('search.municipality'), party.municipality],
            [t('description'), party.description],
            [t('location'), party.location],
            [t('valid'), party.valid_to === null ? t('valid.since', { from }) : t('valid.between', { from, to: format.date(party.valid_to) })],
          ]}
        />
      </Section>
      <Addresses party={party} />
      <Certificates party={party} />
      <Section id="tree" title={t('tree')}>
        <p className="muted">{t('tree.counts', { services: format.count(party.tree.services), persons: format.count(party.tree.persons) })}</p>
        <PartyTable rows={[party.tree.top, ...party.tree.below]} caption={t('tree')} here={row.her_id} />
      </Section>
      {party.place && <Place place={party.place} />}
      <Changes party={party} />
    </>
  );
}

function Addresses({ party }: { party: PartyDetails }) {
  const t = useTexts(parties);
  const physical = party.physical.map((a) => ({
    kind: a.kind,
    text: [a.street, a.postbox, [a.postcode, a.city].filter(Boolean).join(' ')].filter(Boolean).join(', '),
    inherited: a.inherited,
  }));
  const electronic = party.electronic.map((a) => ({ kind: a.code, text: a.address, inherited: a.inherited }));
  const rows = [...electronic, ...physical];
  return (
    <Section id="addresses" title={t('addresses')}>
      {rows.length === 0 ? (
        <p>{t('addresses.none')}</p>
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('addresses')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('address.kind')}</th>
              <th scope="col">{t('address.value')}</th>
              <th scope="col">{t('address.from')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((a) => (
              <tr key={`${a.kind} ${a.text}`}>
                <th scope="row" data-label={t('address.kind')}>
                  {a.kind}
                </th>
                <td data-label={t('address.value')}>
                  <span className="long-code">{a.text}</span>
                </td>
                <td data-label={t('address.from')}>{a.inherited ? t('inherited') : t('own')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

function Certificates({ party }: { party: PartyDetails }) {
  const t = useTexts(parties);
  const format = useFormat();
  return (
    <Section id="certificates" title={t('certificates')}>
      {party.certificates.length === 0 ? (
        <p>{t('certificates.none')}</p>
      ) : (
        <table className="compact compact--blocks">
          <caption className="hidden">{t('certificates')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('certificate.use')}</th>
              <th scope="col">{t('certificate.subject')}</th>
              <th scope="col">{t('certificate.until')}</th>
              <th scope="col">{t('col.state')}</th>
            </tr>
          </thead>
          <tbody>
            {party.certificates.map((c) => (
              <tr key={c.serial}>
                <th scope="row" data-label={t('certificate.use')}>
                  {t(`purpose.${c.purpose}`)} <span className="muted">({c.in_use ? t('certificate.in_use') : t('certificate.earlier')})</span>
                </th>
                <td data-label={t('certificate.subject')}>
                  {c.name} <span className="muted long-code">{c.serial}</span>
                  {c.inherited && <p className="muted">{t('inherited')}</p>}
                </td>
                <td data-label={t('certificate.until')}>{format.date(c.valid_to)}</td>
                <td data-label={t('col.state')}>
                  <State tone={CERTIFICATE_TONES[c.state]}>{t(`certificate.${c.state}`)}</State>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

function Place({ place }: { place: NonNullable<PartyDetails['place']> }) {
  const t = useTexts(parties);
  const text = t('map.text', { latitude: place.latitude.toFixed(1), longitude: place.longitude.toFixed(1) });
  return (
    <Section id="map" title={t('map')}>
      <Outline label={text} className="party-map">
        <circle className="party-map__place" cx={across(place.longitude)} cy={down(place.latitude)} r="4" />
      </Outline>
      <p className="muted">{text}</p>
    </Section>
  );
}

function Changes({ party }: { party: PartyDetails }) {
  const t = useTexts(parties);
  const format = useFormat();
  return (
    <Section id="changes" title={t('changes')}>
      <table className="compact compact--blocks">
        <caption className="hidden">{t('changes')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('changes.at')}</th>
            <th scope="col">{t('changes.by')}</th>
          </tr>
        </thead>
        <tbody>
          {party.changes.map((change) => (
            <tr key={change.version}>
              <th scope="row" data-label={t('changes.at')}>
                {format.dateTime(change.at)}
              </th>
              <td data-label={t('changes.by')}>{change.by ?? t('changes.import')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}
