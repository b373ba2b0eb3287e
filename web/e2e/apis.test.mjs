/** The pages about APIs: deciding on scopes where they are used, and terms of use from their text to an organisation's word. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { violations } from './axe.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

const skip = isHub && 'the APIs of a running hub differ';
const PPS = '/drift/api/nhn%3Apps';
let target;
before(async () => {
  target = await openTarget();
});
beforeEach(() => target.reset());
after(() => target.close());

async function open(path, { who = 'operator', ...options } = {}) {
  const page = await newPage(target, options);
  await login(target, page, who);
  await page.goto(target.base + path);
  await settled(page);
  return page;
}

const dialog = (page) => page.getByRole('dialog').or(page.getByRole('alertdialog'));
const gone = (page) => dialog(page).waitFor({ state: 'detached' });

async function checked(page, where) {
  assert.deepEqual(await violations(page), [], `axe: ${where}`);
}

test('the list says what waits, in all four languages and on a narrow page', { skip }, async () => {
  for (const [language, waiting, others] of [
    ['nb', '1 venter', 'Andre API'],
    ['en', '1 waiting', 'Other APIs'],
    ['nn', '1 ventar', 'Andre API'],
    ['se', '1 vurdet', 'Eará API:at'],
  ]) {
    for (const width of [1280, 375]) {
      const page = await open('/drift/api', { language, width });
      await page.getByText(waiting).waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.lang), language);
      assert.equal(await page.getByRole('heading', { name: others }).count(), 0);
      await checked(page, `list ${language} ${width}`);
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    }
  }
});

test('a scope is approved, withdrawn and approved again where its users are listed', { skip }, async () => {
  const page = await open(PPS);
  await checked(page, 'api');
  const client = 'Vår EPJ – Fjordglott legekontor';
  const button = (word) => page.getByRole('button', { name: `${word} nhn:pps/provesvar-read for ${client}` });
  // By keyboard alone.
  await button('Avvis').focus();
  await page.keyboard.press('Enter');
  await checked(page, 'reject');
  await dialog(page).getByLabel('Begrunnelse').fill('Ingen avtale.');
  await dialog(page).getByRole('button', { name: 'Avvis' }).press('Enter');
  await gone(page);
  await page.getByText('Ingen avtale.').waitFor();
  await button('Godkjenn').press('Enter');
  await dialog(page).getByRole('button', { name: 'Godkjenn' }).press('Enter');
  await gone(page);
  await button('Trekk tilbake').waitFor();
  await page.getByText('Klienten er stengt eller mangler gyldig nøkkel').waitFor();
  assert.equal(await page.getByRole('button', { name: /Nordlys universitetssykehus HF \(demo\)/ }).count(), 0);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('terms are written by those who decide and accepted by an organisation', { skip }, async () => {
  const writer = await open(PPS);
  await writer.getByRole('button', { name: 'Endre vilkårene' }).click();
  await checked(writer, 'terms');
  await dialog(writer).getByRole('textbox', { name: 'Vilkår' }).fill('Nye vilkår.');
  await dialog(writer).getByRole('button', { name: 'Lagre' }).click();
  await gone(writer);
  await writer.getByText('Nye vilkår.').waitFor();
  await writer.getByRole('button', { name: 'Godta for en virksomhet' }).click();
  await dialog(writer).getByRole('button', { name: 'Godta vilkårene' }).click();
  await dialog(writer).getByText('Skriv 9 siffer.').waitFor();
  await writer.context().close();

  const party = await open(PPS, { who: 'party', width: 375 });
  assert.equal(await party.getByRole('button', { name: 'Endre vilkårene' }).count(), 0);
  await party.getByText('Endret, må godtas på nytt').waitFor();
  await checked(party, 'party');
  await party.getByRole('button', { name: 'Godta vilkårene' }).click();
  await checked(party, 'accept');
  await dialog(party).getByRole('button', { name: 'Godta vilkårene' }).click();
  await gone(party);
  await party.getByText('Godtatt', { exact: true }).waitFor();
  assert.equal(await party.getByRole('button', { name: 'Godta vilkårene' }).count(), 0);
  await party.getByRole('button', { name: /^Trekk tilbake for/ }).click();
  await dialog(party).getByRole('button', { name: 'Trekk tilbake' }).click();
  await gone(party);
  await party.getByText('Ikke godtatt', { exact: true }).waitFor();
  assert.deepEqual(party.complaints, []);
  await party.context().close();
});

test('four languages are offered where all sentences have them, and the choice comes back', { skip }, async () => {
  const page = await open('/drift/klienter');
  const choose = (name) => page.getByRole('group', { name: /Språk|Giella/ }).getByRole('button', { name, exact: true });
  await choose('Nynorsk').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Ventar på avgjerd' }).waitFor();
  await choose('Davvisámegiella').press('Enter');
  await page.getByRole('heading', { name: 'Vuordá mearrádusa' }).waitFor();
  await checked(page, 'clients in Northern Sami');
  // Pages that only have two languages fall back, and say which language they are in.
  await page.goto(`${target.base}/drift/tilstand`);
  await settled(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'nb');
  assert.equal(await page.getByRole('button', { name: 'Davvisámegiella' }).count(), 0);
  await page.goto(`${target.base}/drift/api`);
  await page.getByRole('heading', { name: 'Buot API:at' }).or(page.getByRole('heading', { name: /^API:at maid/ })).first().waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'se');
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});
