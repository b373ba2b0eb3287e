/** The main walk: a citizen reads, looks at her log, blocks a doctor; he is refused; she sees it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { choosePatient, openRecord } from './steps.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

let target;
before(async () => {
  target = await openTarget();
  await target.reset();
});
after(() => target.close());

test('Kari reads her newest result: value, range and words', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/provesvar`);
  await settled(page);
  await page.locator('main .row').first().click();
  await page.waitForURL('**/provesvar/**');
  await settled(page);
  const rows = page.locator('main tbody tr');
  assert.ok((await rows.count()) > 0, 'a report has analyses');
  for (const text of await rows.allInnerTexts()) {
    assert.match(text, /vanlig område|vanlige område|ikke oppgitt noe område/);
    assert.doesNotMatch(text, /unormal|farlig/i);
  }
  const heading = await page.locator('h1').innerText();
  assert.doesNotMatch(heading, /NPU|\bepikrise\b/i);
  await page.context().close();
});

test('Kari reads her newest letter, and the original is there', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/brev`);
  await settled(page);
  await page.locator('main .row').first().click();
  await page.waitForURL('**/brev/**');
  await settled(page);
  await page.getByRole('heading', { name: 'Hva skjedde' }).waitFor();
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: /Last ned originalen/ }).click();
  assert.ok((await (await download).path()) !== null);
  await page.context().close();
});

async function openLog(page) {
  await page.goto(`${target.base}/innsyn`);
  await settled(page);
}

test('Kari blocks Stian Moen; the page says so at once', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await openLog(page);
  await page.goto(`${target.base}/tilgang`);
  await settled(page);
  const lift = page.getByRole('button', { name: /^Opphev blokkeringen av Stian Moen/ });
  if (await lift.count()) {
    await lift.click();
    await page.getByRole('button', { name: 'Opphev', exact: true }).click();
    await page.getByText('Blokkeringen er opphevet.').waitFor();
  }
  await page.getByRole('button', { name: 'Blokker en person' }).click();
  await page.getByLabel('Navn og arbeidssted').fill('stian moen');
  await page.getByRole('button', { name: 'Søk' }).click();
  await page.getByRole('button', { name: /Stian Moen/ }).click();
  await page.getByText('Personen får ikke se noe om deg, heller ikke i nødssituasjoner.').last().waitFor();
  await page.getByRole('button', { name: 'Blokker', exact: true }).click();
  await page.getByText('Personen er blokkert. Det gjelder fra nå.').waitFor();
  await lift.waitFor();
  await page.context().close();
});

test('Moen is refused with every reason, and nothing of Kari is shown', { skip: !isHub && 'needs a hub' }, async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel', 'Stian Moen');
  for (const basis of ['SAMTYKKE', 'AKUTT']) {
    await choosePatient(page, target, 'blokk');
    await openRecord(page, basis);
    await page.getByText('Denne personen har blokkert innsyn for deg. Det gjelder også i nødssituasjoner.').waitFor();
    assert.doesNotMatch(await page.locator('main').innerText(), /Kari|Lunde|148968/);
  }
  await page.context().close();
});

test('Kari’s log shows the refusals in words', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/innsyn?vis=avviste`);
  await settled(page);
  const first = page.locator('.log__item').first();
  await first.waitFor();
  const text = await first.innerText();
  assert.match(text, /Stian Moen/);
  assert.match(text, /Avvist/);
  assert.match(text, /Du har blokkert denne personen/);
  await page.context().close();
});

test('Sæther opens the same record with consent', async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel');
  await choosePatient(page, target, 'blokk');
  await openRecord(page);
  await page.getByRole('heading', { level: 1, name: 'Kjernejournal for Kari Lunde' }).waitFor();
  await page.getByText(/Ingen kritisk informasjon er registrert \(spurt kl\. \d\d\.\d\d\)\. Det betyr ikke at ingen finnes\./).waitFor();
  await page.reload();
  await page.getByText('Journalen ble lukket').waitFor();
  await page.context().close();
});

test('what Kari restricts is closed for Sæther, who opens it with her consent; Kari is told', { skip: !isHub && 'needs a hub' }, async () => {
  const kari = await newPage(target);
  await login(target, kari, 'citizen');
  await kari.goto(`${target.base}/tilgang`);
  await settled(kari);
  const results = kari.getByRole('switch', { name: /Prøvesvar/ }).or(kari.getByRole('checkbox', { name: /Prøvesvar/ })).first();
  if (!(await results.isChecked())) await results.press('Space');
  await kari.getByText('1 del er sperret').waitFor();

  const doctor = await newPage(target);
  await login(target, doctor, 'personnel');
  await choosePatient(doctor, target, 'blokk');
  await openRecord(doctor);
  await doctor.getByText('Denne delen er sperret av pasienten.').waitFor();
  assert.doesNotMatch(await doctor.locator('main').innerText(), /Hemoglobin/);
  await doctor.getByRole('button', { name: 'Åpne med samtykke: prøvesvar' }).click();
  await doctor.getByText('Åpnet – oppslaget vises for pasienten').waitFor();
  await doctor.getByText('B-Hemoglobin').first().waitFor();
  await doctor.context().close();

  await kari.goto(`${target.base}/innsyn`);
  await kari.getByText(/åpnet det du har sperret/).first().waitFor();
  await kari.goto(`${target.base}/tilgang`);
  await settled(kari);
  await results.press('Space');
  await kari.getByText('Sperringen er opphevet.').waitFor();
  await kari.context().close();
});

test('a doctor does not open her own record', { skip: !isHub && 'needs a hub' }, async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel', 'Ida Kristine Berg');
  await choosePatient(page, target, 'allergi');
  await page.getByText('Du kan ikke slå opp deg selv her. Bruk innbyggersiden.').waitFor();
  await page.context().close();
});

test('nothing of a person stands in addresses or in the browser’s storage', async () => {
  const page = await newPage(target);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await login(target, page, 'personnel');
  asked.length = 0;
  await choosePatient(page, target, 'blokk');
  await openRecord(page);
  for (const url of asked) assert.doesNotMatch(url, /\d{11}/, 'a national id in an address');
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.doesNotMatch(kept, /\d{11}|Lunde/);
  await page.context().close();
});

test('the operator sees flows, never content', async () => {
  const page = await newPage(target);
  await login(target, page, 'operator');
  await page.goto(`${target.base}/drift/meldinger`);
  await settled(page);
  const text = await page.locator('main').innerText();
  assert.doesNotMatch(text, /Kari|Lunde|\b\d{11}\b/);
  await page.context().close();
});
