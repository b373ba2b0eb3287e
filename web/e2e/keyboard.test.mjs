/** Keyboard only: order of the page, focus after a change of page and after a dialog, the main actions. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { choosePatient } from './steps.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

let target;
before(async () => {
  target = await openTarget();
});
beforeEach(() => target.reset());
after(() => target.close());

const focused = (page) => page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label') || document.activeElement?.tagName);

async function tabTo(page, wanted, most = 40) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    if (wanted.test(await focused(page))) return;
  }
  assert.fail(`not reached by Tab: ${wanted}`);
}

test('the order is that of the page: skip link, portals, language, person, menu, band, content', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/`);
  await settled(page);
  const seen = [];
  for (let i = 0; i < 14; i++) {
    await page.keyboard.press('Tab');
    seen.push(await focused(page));
  }
  assert.deepEqual(seen.slice(0, 13), ['Hopp til innholdet', 'helsenav', 'Innbygger', 'Helsepersonell', 'Drift', 'Bokmål', 'English', 'Logg ut', 'Forside', 'Prøvesvar', 'Brev og dokumenter', 'Hvem har sett', 'Hvem kan se']);
  assert.equal(seen[13], 'Skjul');
  await page.context().close();
});

test('the skip link leads to the content', async () => {
  const page = await newPage(target);
  await page.goto(`${target.base}/`);
  await settled(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'innhold');
  await page.context().close();
});

test('a change of page puts the focus on its title, also backwards', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await tabTo(page, /^Prøvesvar$/);
  await page.keyboard.press('Enter');
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  assert.equal(await focused(page), 'Prøvesvar');
  await page.goBack();
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  await page.context().close();
});

test('the language is changed by keyboard, at once, and remembered', async () => {
  const page = await newPage(target);
  await page.goto(`${target.base}/`);
  await settled(page);
  await tabTo(page, /^English$/);
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await page.getByRole('heading', { level: 1, name: 'Your health information in one place' }).waitFor();
  await page.reload();
  await settled(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await page.context().close();
});

test('the block dialog keeps the focus, closes by Esc and gives the focus back', async () => {
  const page = await newPage(target);
  await login(target, page, 'citizen');
  await page.goto(`${target.base}/tilgang`);
  await settled(page);
  await tabTo(page, /^Blokker en person$/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    const inside = await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement?.closest('dialog')));
    assert.ok(inside, 'the focus left the dialog for the page behind');
  }
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await focused(page), 'Blokker en person');
  await page.context().close();
});

test('personnel: slash to the search, number key for the reason, Enter opens', async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel');
  await page.locator('h1').click();
  await page.keyboard.press('/');
  await page.keyboard.type('lunde 1968');
  await page.keyboard.press('Enter');
  await page.locator('.hits').waitFor();
  await tabTo(page, /Velg/);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/pasient');
  await settled(page);
  await page.keyboard.press('1');
  assert.equal(await page.evaluate(() => document.activeElement?.value), 'SAMTYKKE');
  await page.keyboard.press('Enter');
  await page.locator('form.basis').waitFor({ state: 'detached' });
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'results');
  await page.context().close();
});

test('a record without a reason is not opened, and the page says why', async () => {
  const page = await newPage(target);
  await login(target, page, 'personnel');
  await choosePatient(page, target, 'blokk');
  await page.locator('form.basis button[type=submit]').click();
  await page.getByText('Velg en grunn.').waitFor();
  await page.context().close();
});

test('the validator: n and p walk through the findings', { skip: isHub && 'the findings of the real engine are tested in pages.test' }, async () => {
  const page = await newPage(target);
  await login(target, page, 'operator');
  await page.goto(`${target.base}/drift/validator`);
  await settled(page);
  await page.getByRole('button', { name: 'feil elementnavn' }).click();
  await page.locator('.findings').waitFor();
  await page.keyboard.press('n');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'finding-0');
  await page.keyboard.press('n');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'finding-1');
  await page.keyboard.press('p');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'finding-0');
  await page.context().close();
});

test('the timeline is one stop; arrows walk through it', { skip: isHub && 'the state of the story differs' }, async () => {
  const page = await newPage(target);
  await login(target, page, 'operator');
  await page.goto(`${target.base}/drift/tidslinje`);
  await settled(page);
  assert.equal(await page.locator('.story__event[tabindex="0"]').count(), 1);
  await page.locator('.story__event[tabindex="0"]').focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement?.dataset.step), 'blokk.2');
  await page.keyboard.press('ArrowLeft');
  assert.equal(await page.evaluate(() => document.activeElement?.dataset.step), 'blokk.1');
  await page.context().close();
});
