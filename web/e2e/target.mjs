/**
 * What the tests run against: a running hub, named by HELSENAV_FACTS (path or address of its facts.json), or the fixtures.
 * Both are logged in to as a person would: through the login pages.
 */
import { readFile } from 'node:fs/promises';
import { launch } from './browser.mjs';
import { start } from './fixtures/server.mjs';

export const isHub = Boolean(process.env.HELSENAV_FACTS);

async function readFacts() {
  const where = process.env.HELSENAV_FACTS;
  const text = /^https?:/.test(where) ? await (await fetch(where)).text() : await readFile(where, 'utf8');
  return JSON.parse(text);
}

/** Nobody here exists; the same people as in the demo nation. */
const FIXTURE_PEOPLE = { blokk: { name: 'Kari Lunde', pid: '14896849817' }, allergi: { name: 'Ida Kristine Berg', pid: '11829649812' } };

/** Opens the target: its address, its people, and a browser. */
export async function openTarget() {
  const browser = await launch();
  if (isHub) {
    const facts = await readFacts();
    const people = Object.fromEntries(facts.persons.map((person) => [person.story, person]));
    return { browser, base: facts.base, facts, people, reset: async () => {}, close: () => browser.close() };
  }
  const { base, close } = await start();
  return {
    browser,
    base,
    people: FIXTURE_PEOPLE,
    reset: () => fetch(`${base}/fixtures/reset`),
    close: async () => {
      await browser.close();
      close();
    },
  };
}

/** A page with its own cookies; `complaints` collects what the browser's console said. */
export async function newPage(target, { width = 1280, language = 'nb', faults = '' } = {}) {
  const context = await target.browser.newContext({ viewport: { width, height: 900 }, locale: 'nb-NO', reducedMotion: 'reduce', ignoreHTTPSErrors: true });
  if (faults && !isHub) await context.addCookies([{ name: 'faults', value: encodeURIComponent(faults), url: target.base }]);
  await context.addInitScript((l) => localStorage.setItem('helsenav.language', localStorage.getItem('helsenav.language') ?? l), language);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.complaints = [];
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  return page;
}

/** Waits until a page has its title and its content. */
export async function settled(page) {
  await page.locator('h1').first().waitFor();
  await page.waitForFunction(() => !document.querySelector('.waiting'));
}

/** Logs in as `who`: `citizen` (Kari Lunde), a key of personnel by name, `operator`, `party`; nothing for nobody. */
export async function login(target, page, who, name) {
  if (!who) return;
  if (!isHub) {
    const key = who;
    await page.goto(`${target.base}/fixtures/login/${key}?to=${{ citizen: '/', personnel: '/helsepersonell', operator: '/drift', party: '/drift' }[who]}`);
    return settled(page);
  }
  const { facts, base } = target;
  if (who === 'citizen') {
    await page.goto(`${base}/logginn?retur=/`);
    await page.locator(`button[name=pid][value="${target.people.blokk.pid}"]`).click();
  } else if (who === 'operator') {
    await page.goto(`${base}/drift`);
    await page.locator('input[name=username]').fill(facts.operator_login.username);
    await page.locator('input[name=password]').fill(facts.operator_login.password);
    await page.locator('form button[type=submit]').click();
  } else {
    const wanted = name ?? (who === 'party' ? 'Anders Solberg' : 'Ragnhild Sæther');
    const person = facts.personnel.find((p) => p.name === wanted);
    await page.goto(base + (who === 'party' ? '/drift/logginn/helseid' : '/helsepersonell/logginn'));
    const ready = page.locator(`button[name=pid][value="${person.pid}"]`);
    if (await ready.count()) {
      await ready.first().click();
    } else {
      await page.locator('input#pid').fill(person.pid);
      await page.locator('input#pid').press('Enter');
    }
  }
  await page.locator('.who').waitFor();
  await settled(page);
}
