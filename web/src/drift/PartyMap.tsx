import { useLoad } from '../api/load.ts';
import { PARTIES, type PartyMap } from '../api/parties.ts';
import { useFormat } from '../i18n/format.ts';
import { parties } from '../i18n/parties.ts';
import { useTexts } from '../i18n/texts.tsx';
import { Page } from '../parts/page.tsx';
import { Loaded } from '../parts/source.tsx';
import { Outline, across, down } from './Outline.tsx';

/** Where the organisations of the address register are: a drawing, and the same in a table. */
export function PartyMapPage() {
  const t = useTexts(parties);
  const load = useLoad<PartyMap>('/api/drift/parties/map');
  return (
    <Page isWide title={t('map.title')} crumbs={[{ text: t('title'), href: PARTIES }]}>
      <p className="lead">{t('map.lead')}</p>
      <Loaded load={load} waiting={t('loading')}>
        {(map) => <Found map={map} />}
      </Loaded>
    </Page>
  );
}

function Found({ map }: { map: PartyMap }) {
  const t = useTexts(parties);
  const format = useFormat();
  const rows = [...map.municipalities].sort((a, b) => b.organisations - a.organisations || a.name.localeCompare(b.name, 'nb'));
  const sum = rows.reduce((n, row) => n + row.organisations, 0);
  const text = t('map.found', { organisations: format.count(sum), municipalities: format.count(rows.length) });
  return (
    <div className="party-places">
      <Outline label={text} className="party-map party-map--whole">
        {rows.map(
          (row) =>
            row.latitude !== null &&
            row.longitude !== null && (
              // The area of a dot grows with the number.
              <circle
                key={row.number}
                className="party-map__dot"
                cx={across(row.longitude)}
                cy={down(row.latitude)}
                r={Math.min(8, 1 + Math.sqrt(row.organisations) / 2)}
              >
                <title>{`${row.name}: ${row.organisations}`}</title>
              </circle>
            ),
        )}
      </Outline>
      <div>
        <p role="status">
          {text} {map.without_municipality > 0 && t('map.without', { n: format.count(map.without_municipality) })}
        </p>
        <table className="compact compact--blocks">
          <caption className="hidden">{t('map.title')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('search.municipality')}</th>
              <th scope="col">{t('map.county')}</th>
              <th scope="col">{t('map.organisations')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.number}>
                <th scope="row" data-label={t('search.municipality')}>
                  <a href={`${PARTIES}?type=Organization&kommune=${row.number}`}>{row.name}</a>
                </th>
                <td data-label={t('map.county')}>{row.county}</td>
                <td data-label={t('map.organisations')}>{format.count(row.organisations)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
