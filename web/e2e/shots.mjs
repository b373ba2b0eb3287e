/** Screenshots of every page against the fixtures: `npm run shots [folder] [name part]`. */
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { start } from './fixtures/server.mjs';

const folder = process.argv[2] ?? join(tmpdir(), 'helsenav-shots');
const only = process.argv[3] ?? '';
await mkdir(folder, { recursive: true });

const CLIENT = '/drift/klienter/3f1c0a52-8c1e-4a52-b9a4-0d51a0a9d8f1';

/** `[name, who, path, act?, language?, faults?]` */
const SHOTS = [
  ['front-door', '', '/'],
  ['login-first', '', '/provesvar'],
  ['home', 'citizen', '/'],
  ['home-en', 'citizen', '/', undefined, 'en'],
  ['home-trouble', 'citizen', '/', undefined, 'nb', '/api/citizen/overview=empty'],
  ['results', 'citizen', '/provesvar'],
  ['results-error', 'citizen', '/provesvar', undefined, 'nb', '/api/citizen/results=503'],
  ['results-empty', 'citizen', '/provesvar', undefined, 'nb', '/api/citizen/results=empty'],
  ['report', 'citizen', '/provesvar/rep-1'],
  ['report-outside', 'citizen', '/provesvar/rep-2', (page) => page.locator('summary').first().click()],
  ['report-en', 'citizen', '/provesvar/rep-2', undefined, 'en'],
  ['report-withdrawn', 'citizen', '/provesvar/rep-3'],
  ['letters', 'citizen', '/brev'],
  ['letter', 'citizen', '/brev/doc-1'],
  ['letter-unread', 'citizen', '/brev/doc-2'],
  ['log', 'citizen', '/innsyn', (page) => page.locator('.log summary').first().click()],
  ['log-en', 'citizen', '/innsyn', undefined, 'en'],
  ['access', 'citizen', '/tilgang'],
  ['access-block', 'citizen', '/tilgang', block],
  ['access-sure', 'citizen', '/tilgang', async (page) => { await block(page); await page.getByRole('button', { name: /Knutsen/ }).click(); }],
  ['help', '', '/hjelp'],
  ['personnel-out', '', '/helsepersonell'],
  ['find', 'personnel', '/helsepersonell', (page) => find(page, 'lunde 1968')],
  ['find-none', 'personnel', '/helsepersonell', (page) => find(page, 'nordmann 1900')],
  ['basis', 'personnel', '/helsepersonell', (page) => choose(page, '14896849817')],
  ['basis-gp', 'personnel', '/helsepersonell', (page) => choose(page, '11829649812')],
  ['own', 'personnel', '/helsepersonell', (page) => choose(page, '15867049867')],
  ['summary', 'personnel', '/helsepersonell', (page) => open(page, '14896849817')],
  ['summary-critical', 'personnel', '/helsepersonell', (page) => open(page, '11829649812')],
  ['summary-closed', 'personnel', '/helsepersonell', (page) => open(page, '17854149881')],
  ['summary-opened', 'personnel', '/helsepersonell', async (page) => { await open(page, '17854149881'); await page.getByRole('button', { name: /prøvesvar med samtykke/ }).click(); await page.waitForTimeout(200); }],
  ['blocked', 'personnel', '/helsepersonell', (page) => open(page, '03887949947')],
  ['no-record', 'personnel', '/helsepersonell', (page) => open(page, '24911099841')],
  ['document', 'personnel', '/helsepersonell', async (page) => { await open(page, '14896849817'); await page.getByRole('link', { name: 'Sykehusepikrise' }).click(); await page.waitForTimeout(200); }],
  ['drift-out', '', '/drift'],
  ['drift', 'operator', '/drift'],
  ['messages', 'operator', '/drift/meldinger'],
  ['messages-en', 'operator', '/drift/meldinger', undefined, 'en'],
  ['messages-party', 'party', '/drift/meldinger'],
  ['message', 'operator', '/drift/meldinger/m01'],
  ['message-rejected', 'party', '/drift/meldinger/m06'],
  ['message-stuck', 'operator', '/drift/meldinger/m05'],
  ['counts', 'operator', '/drift/teller'],
  ['counts-en', 'operator', '/drift/teller?fra=2026-11-23', undefined, 'en'],
  ['counts-party', 'party', '/drift/teller'],
  ['validator', 'operator', '/drift/validator'],
  ['validator-report', 'operator', '/drift/validator', (page) => page.getByRole('button', { name: 'feil elementnavn' }).click()],
  ['approvals', 'operator', '/drift/samsvar'],
  ['approvals-party', 'party', '/drift/samsvar'],
  ['approval', 'party', '/drift/samsvar/run-1', (page) => page.getByRole('button', { name: 'Be om godkjenning' }).click()],
  ['approval-send-en', 'party', '/drift/samsvar/run-2', undefined, 'en'],
  ['approval-se', 'party', '/drift/samsvar/run-1', undefined, 'se'],
  ['timeline', 'operator', '/drift/tidslinje', (page) => page.locator('.story__event').first().click()],
  ['health', 'operator', '/drift/tilstand'],
  ['clients', 'operator', '/drift/klienter'],
  ['clients-en', 'operator', '/drift/klienter', undefined, 'en'],
  ['clients-party', 'party', '/drift/klienter'],
  ['clients-empty', 'party', '/drift/klienter', undefined, 'nb', '/api/drift/clients=empty'],
  ['clients-approve', 'operator', '/drift/klienter', (page) => page.getByRole('button', { name: /^Godkjenn nhn:pps/ }).click()],
  ['clients-system', 'operator', '/drift/klienter', (page) => page.getByRole('button', { name: 'Nytt klientsystem' }).click()],
  ['clients-apikey', 'operator', '/drift/klienter', async (page) => { await page.getByRole('button', { name: 'Ny API-nøkkel for Vår EPJ' }).click(); await page.getByRole('button', { name: 'Lag nøkkel' }).click(); await page.waitForTimeout(200); }],
  ['client', 'operator', CLIENT],
  ['client-en', 'party', CLIENT, undefined, 'en'],
  ['client-configured', 'operator', '/drift/klienter/demo-system-nordlys'],
  ['client-draft', 'party', '/drift/klienter/c0d3d00d-0000-4000-8000-000000000001?port=1337&path=callback'],
  ['client-key', 'operator', CLIENT, (page) => page.getByRole('button', { name: 'Ny nøkkel' }).click()],
  ['client-key-made', 'operator', CLIENT, async (page) => { await page.getByRole('button', { name: 'Ny nøkkel' }).click(); await page.getByRole('button', { name: 'Lag nøkkel', exact: true }).click(); await page.getByRole('button', { name: 'Last ned privat nøkkel' }).click(); await page.waitForTimeout(200); }],
  ['client-scopes', 'operator', CLIENT, (page) => page.getByRole('button', { name: 'Be om tilgang' }).click()],
  ['client-uris', 'operator', CLIENT, async (page) => { await page.getByRole('button', { name: 'Endre adresser' }).click(); await page.getByRole('textbox', { name: 'Etter innlogging' }).fill('http://epj.no/callback'); await page.getByRole('button', { name: 'Lagre' }).click(); await page.waitForTimeout(200); }],
  ['client-remove', 'operator', CLIENT, (page) => page.getByRole('button', { name: 'Slett klienten' }).click()],
  ['client-new', 'operator', '/drift/klienter/ny', (page) => page.getByRole('button', { name: 'Registrer', exact: true }).click()],
  ['apis', 'operator', '/drift/api'],
  ['apis-party', 'party', '/drift/api'],
  ['api', 'operator', '/drift/api/nhn%3Apps'],
  ['api-en', 'party', '/drift/api/nhn%3Apps', undefined, 'en'],
  ['api-terms', 'operator', '/drift/api/nhn%3Apps', (page) => page.getByRole('button', { name: 'Endre vilkårene' }).click()],
  ['api-se', 'operator', '/drift/api/nhn%3Apps', undefined, 'se'],
  ['clients-nn', 'operator', '/drift/klienter', undefined, 'nn'],
  ['not-found', 'operator', '/drift/finnes-ikke'],
];

async function block(page) {
  await page.getByRole('button', { name: 'Blokker en person' }).click();
  await page.getByLabel(/Navn og arbeidssted/).fill('nordlys');
  await page.getByRole('button', { name: 'Søk' }).click();
  await page.getByRole('button', { name: /Knutsen/ }).waitFor();
}
async function find(page, query) {
  await page.getByLabel(/Fødselsnummer, eller/).fill(query);
  await page.getByRole('button', { name: 'Søk' }).click();
  await page.waitForTimeout(200);
}
async function choose(page, nin) {
  await find(page, nin);
  await page.getByRole('button', { name: /^Velg / }).click();
  await page.waitForURL('**/pasient');
}
async function open(page, nin) {
  await choose(page, nin);
  const consent = page.getByLabel(/har samtykket/);
  if (await consent.count()) await consent.check();
  await page.getByRole('button', { name: 'Åpne', exact: true }).click();
  await page.waitForTimeout(200);
}

const { base, close } = await start();
const browser = await launch();
for (const width of (process.env.WIDTHS ?? '1280,375').split(',').map(Number)) {
  for (const [name, who, path, act, language = 'nb', faults = ''] of SHOTS) {
    if (only && !only.split(',').some((part) => name.includes(part))) continue;
    const context = await browser.newContext({ viewport: { width, height: 900 }, locale: 'nb-NO' });
    await fetch(`${base}/fixtures/reset`);
    await context.addCookies([
      { name: 'who', value: who, url: base },
      { name: 'faults', value: encodeURIComponent(faults), url: base },
    ]);
    await context.addInitScript((l) => localStorage.setItem('helsenav.language', l), language);
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    page.on('console', (message) => message.type() === 'error' && console.log(`${name}@${width}: ${message.text()}`));
    page.on('pageerror', (error) => console.log(`${name}@${width}: ${error.message}`));
    await page.goto(base + path);
    await page.locator('h1').first().waitFor();
    await page.waitForTimeout(150);
    try {
      await act?.(page);
    } catch (error) {
      console.log(`${name}@${width}: ${error.message.split('\n')[0]}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) console.log(`${name}@${width}: scrolls ${wide}px sideways`);
    await page.screenshot({ path: join(folder, `${name}-${width}.png`), fullPage: true });
    await context.close();
  }
}
await browser.close();
close();
console.log(folder);
