/** Each source in each of its states says so in words; no page is empty without a sentence. Fixtures only. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { violations } from './axe.mjs';
import { choosePatient, openRecord } from './steps.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

const skip = isHub && 'a running hub does not fail on demand';
let target;
before(async () => {
  target = await openTarget();
});
after(() => target.close());

const CASES = [
  ['/provesvar', '/api/citizen/results=empty', 'Ingen prøvesvar er registrert.'],
  ['/provesvar', '/api/citizen/results=503', 'Vi fikk ikke gjort dette nå.'],
  ['/provesvar/rep-1', '/api/citizen/results/rep-1=404', 'Dette finnes ikke, eller du har ikke tilgang til det.'],
  ['/brev', '/api/citizen/letters=empty', 'Ingen brev er registrert.'],
  ['/brev', '/api/citizen/letters=503', 'Vi fikk ikke gjort dette nå.'],
  ['/innsyn', '/api/citizen/log=empty', 'Ingen har sett på opplysningene dine i denne perioden.'],
  ['/innsyn', '/api/citizen/log=503', 'Loggen kunne ikke hentes. Ingen har fått slettet noe.'],
  ['/tilgang', '/api/citizen/access=empty', 'Ingen er blokkert. Ingenting er sperret.'],
  ['/tilgang', '/api/citizen/access=503', 'De gjelder fortsatt, men kan ikke endres nå.'],
  ['/', '/api/citizen/overview=empty', 'Vi fikk ikke svar fra Brev og dokumenter'],
  ['/', '/api/citizen/overview=503', 'Vi fikk ikke gjort dette nå.'],
];

test('citizen: every state has its sentence', { skip }, async () => {
  for (const [path, faults, sentence] of CASES) {
    const page = await newPage(target, { faults });
    await login(target, page, 'citizen');
    await page.goto(target.base + path);
    await settled(page);
    await page.getByText(sentence).first().waitFor();
    assert.deepEqual(await violations(page), [], `${path} with ${faults}`);
    await page.context().close();
  }
});

test('an error names its event and offers another try', { skip }, async () => {
  const page = await newPage(target, { faults: '/api/citizen/results=503' });
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/provesvar`);
  await page.getByText(/Hendelse: /).waitFor();
  await page.context().clearCookies({ name: 'faults' });
  await page.getByRole('button', { name: 'Prøv igjen' }).click();
  await page.getByText('Blod- og urinprøver').first().waitFor();
  await page.context().close();
});

test('a slow source says that it is waited for', { skip }, async () => {
  const page = await newPage(target, { faults: '/api/citizen/results=slow' });
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/provesvar`);
  await page.getByRole('status').getByText('Henter prøvesvar …').waitFor();
  await page.context().close();
});

test('a session that ended leads to the login, and says that nothing was lost', { skip }, async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/innsyn`);
  await settled(page);
  await page.context().clearCookies({ name: 'who' });
  await page.getByRole('link', { name: 'Hvem kan se' }).click();
  await page.getByText('Ingenting er gått tapt.').waitFor();
  const login_link = await page.locator('main a.action-link').getAttribute('href');
  assert.equal(new URLSearchParams(login_link.split('?')[1]).get('retur'), '/tilgang');
  await page.context().close();
});

test('personnel: refusal pages say what they may and nothing of the patient', { skip }, async () => {
  const people = { ...target.people, skjult: { pid: '03887949947' }, seksten: { pid: '24911099841' }, saether: { pid: '15867049867' } };
  const page = await newPage(target);
  await login(target, page, 'personnel');
  for (const [who, sentence] of [
    ['skjult', 'Denne personen har blokkert innsyn for deg. Det gjelder også i nødssituasjoner.'],
    ['seksten', 'Denne personen har ikke kjernejournal.'],
  ]) {
    await choosePatient(page, { ...target, people }, who);
    await openRecord(page);
    await page.getByText(sentence).waitFor();
    const text = await page.locator('main').innerText();
    assert.ok(!/Strand|Dahl|\d{6}/.test(text), 'the refusal page names the patient');
    assert.deepEqual(await violations(page), []);
  }
  await choosePatient(page, { ...target, people }, 'saether');
  await page.getByText('Du kan ikke slå opp deg selv her. Bruk innbyggersiden.').waitFor();
  await page.context().close();
});

test('personnel: a closed part is opened with consent, and the page says that it was', { skip }, async () => {
  const people = { hjerte: { pid: '17854149881' } };
  const page = await newPage(target);
  await login(target, page, 'personnel');
  await choosePatient(page, { ...target, people }, 'hjerte');
  await openRecord(page);
  await page.getByText('Denne delen er sperret av pasienten.').first().waitFor();
  await page.getByRole('button', { name: 'Åpne med samtykke: prøvesvar' }).click();
  await page.getByText('Åpnet – oppslaget vises for pasienten').waitFor();
  await page.getByText('B-Hemoglobin').waitFor();
  await page.context().close();
});

test('personnel: critical information first, in words', { skip }, async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel');
  await choosePatient(page, target, 'allergi');
  await openRecord(page);
  const first = page.locator('main h2').first();
  assert.match(await first.innerText(), /Kritisk informasjon/);
  await page.getByText('Livstruende: Allergi: Insektgift').waitFor();
  await page.getByRole('button', { name: 'Se alle 4' }).click();
  await page.getByText('Fra barndommen, ikke utredet.').waitFor();
  await page.context().close();
});

test('the wrong password is said at its field', { skip }, async () => {
  const page = await newPage(target);
  await page.goto(`${target.base}/drift`);
  await page.getByLabel('Brukernavn').fill('drift');
  await page.getByLabel('Passord').fill('feil');
  await page.getByRole('button', { name: 'Logg inn', exact: true }).click();
  await page.getByText('Brukernavn eller passord er feil.').waitFor();
  assert.equal(await page.getByLabel('Passord').getAttribute('aria-invalid'), 'true');
  await page.getByLabel('Passord').fill('fixture');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Drift' }).waitFor();
  await page.context().close();
});

test('what needs a human is one press away, and stands in the address', { skip }, async () => {
  const page = await newPage(target);
  await login(target, page, 'operator');
  await page.goto(`${target.base}/drift/meldinger`);
  await settled(page);
  await page.getByRole('link', { name: 'Trenger et menneske' }).click();
  await page.waitForURL('**/meldinger?tilstand=needs_human');
  await page.getByText('Avvist: fødselsnummer er feil (E31)').waitFor();
  await page.getByText('Ingen kvittering etter 98 timer. Ring mottaker.').waitFor();
  assert.equal(await page.getByText('Mottatt og godkjent').count(), 0);
  await page.getByRole('button', { name: 'Nullstill' }).click();
  await page.getByText('Mottatt og godkjent').first().waitFor();
  await page.context().close();
});
