/** Every page: no accessibility violation, one title, no sideways scrolling at 320 px, nothing in the console. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { violations } from './axe.mjs';
import { choosePatient, openRecord } from './steps.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

let target;
before(async () => {
  target = await openTarget();
});
after(() => target.close());

async function check(page, where) {
  await settled(page);
  assert.deepEqual(await violations(page), [], `axe: ${where}`);
  assert.equal(await page.locator('h1').count(), 1, `one h1: ${where}`);
  assert.match(await page.title(), / – Helsenav$/, `title: ${where}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${where} scrolls ${wide} px sideways`);
  assert.deepEqual(page.complaints, [], `console: ${where}`);
}

/** Paths of each role. Those with an id are found by following the first link of their list. */
const ROLES = [
  ['', ['/', '/provesvar', '/hjelp', '/helsepersonell', '/drift']],
  ['citizen', ['/', '/provesvar', '/provesvar/*', '/brev', '/brev/*', '/innsyn', '/tilgang', '/hjelp']],
  ['personnel', ['/helsepersonell', '/helsepersonell/pasient']],
  ['operator', ['/drift', '/drift/meldinger', '/drift/meldinger/*', '/drift/teller', '/drift/validator', '/drift/samsvar', '/drift/samsvar/*', '/drift/tidslinje', '/drift/parter', '/drift/parter/*', '/drift/parter/kart', '/drift/klienter', '/drift/klienter/ny', '/drift/klienter/*', '/drift/api', '/drift/api/*', '/drift/tilstand', '/drift/finnes-ikke']],
  ['party', ['/drift', '/drift/meldinger', '/drift/teller', '/drift/samsvar', '/drift/samsvar/*', '/drift/klienter', '/drift/klienter/*', '/drift/api', '/drift/api/*']],
];

async function visit(page, path) {
  if (!path.endsWith('/*')) return page.goto(target.base + path);
  const list = path.slice(0, -2);
  await page.goto(target.base + list);
  await settled(page);
  const first = page.locator(`main a[href^="${list}/"]:not([href$="/ny"]):not([href$="/kart"])`).first();
  if ((await first.count()) === 0) return assert.ok(isHub, `${list} has no link to follow`);
  await first.click();
  await page.waitForURL(`**${list}/**`);
}

for (const [who, paths] of ROLES) {
  for (const [language, width] of [
    ['nb', 1280],
    ['en', 320],
  ]) {
    test(`pages of ${who || 'nobody'}, ${language}, ${width} px`, async () => {
      const page = await newPage(target, { width, language });
      await login(target, page, who);
      for (const path of paths) {
        page.complaints.length = 0;
        await visit(page, path);
        await check(page, `${path} as ${who || 'nobody'}, ${language}, ${width} px`);
        assert.equal(await page.evaluate(() => document.documentElement.lang), language);
      }
      await page.context().close();
    });
  }
}

test('pages of a patient: reason, summary, document', async () => {
  const page = await newPage(target, { width: 375 });
  await login(target, page, 'personnel');
  await choosePatient(page, target, 'blokk');
  await check(page, 'reason');
  await openRecord(page);
  await check(page, 'summary');
  const document = page.locator('.documents a').first();
  if (await document.count()) {
    await document.click();
    await page.waitForURL('**/dokument/**');
    await check(page, 'document');
  }
  await page.context().close();
});

test('dialogs and reports', async () => {
  const citizen = await newPage(target, { width: 375 });
  await login(target, citizen, 'citizen');
  await citizen.goto(`${target.base}/tilgang`);
  await citizen.getByRole('button', { name: 'Blokker en person' }).click();
  await citizen.getByLabel('Navn og arbeidssted').fill('moen');
  await citizen.getByRole('button', { name: 'Søk' }).click();
  await citizen.locator('.choice').first().waitFor();
  await check(citizen, 'search of the block dialog');
  await citizen.context().close();

  const operator = await newPage(target);
  await login(target, operator, 'operator');
  await operator.goto(`${target.base}/drift/validator`);
  for (const sample of ['Kvittering uten feil', 'feil elementnavn', 'ikke er velformet', 'ebXML-melding i e-post']) {
    await operator.getByRole('button', { name: sample }).click();
    await operator.getByRole('heading', { name: 'Resultat' }).waitFor();
    await check(operator, `validator: ${sample}`);
  }
  await operator.context().close();
});
