/** The sentences themselves: the same places to fill in in every language, and no words that the tone forbids. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { test } from 'node:test';

const FOLDER = new URL('../src/i18n/', import.meta.url);
const PAIR = /'([\w.-]+)':\s*\{\s*nb:\s*('(?:[^'\\]|\\.)*'),\s*en:\s*('(?:[^'\\]|\\.)*'),?\s*\}/g;

async function sentences() {
  const found = [];
  for (const name of await readdir(FOLDER)) {
    const text = await readFile(new URL(name, FOLDER), 'utf8');
    for (const [, key, nb, en] of text.matchAll(PAIR)) found.push({ key: `${name}: ${key}`, nb, en });
  }
  return found;
}

const places = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

test('every sentence has the same places in every language', async () => {
  const all = await sentences();
  assert.ok(all.length > 400, `only ${all.length} sentences found`);
  for (const { key, nb, en } of all) assert.deepEqual(places(en), places(nb), key);
});

test('no sentence uses what the tone forbids', async () => {
  for (const { key, nb, en } of await sentences()) {
    assert.doesNotMatch(nb, /subjekt|aktør|entitet|dessverre|unormal|!'/i, key);
    assert.doesNotMatch(en, /unfortunately|abnormal|sorry|!'/i, key);
  }
});

test('citizens meet plain words', async () => {
  for (const { key, nb } of await sentences()) if (key.startsWith('citizen.ts')) assert.doesNotMatch(nb, /epikrise|henv\.|jf\.|mtp\b/i, key);
});

/** Sentences of the self-service pages and of their frame; the portal's menu may be there too. */
const SELF_SERVICE = /^(clients\.ts|apis\.ts|approval\.ts): |^shell\.ts: (?!help\.|language\.)/;
const MENU = /^drift\.ts: menu\.|^shell\.ts: language\./;
const ROW = /^ {2}('(?:[^'\\]|\\.)*'): ('(?:[^'\\]|\\.)*'),$/gm;

test('the self-service pages have all their sentences in nynorsk and Northern Sami', async () => {
  const found = await sentences();
  const all = found.filter(({ key }) => SELF_SERVICE.test(key));
  assert.ok(all.length > 250, `only ${all.length} sentences found`);
  for (const language of ['nn', 'se']) {
    const text = await readFile(new URL(`${language}.ts`, FOLDER), 'utf8');
    const table = new Map([...text.matchAll(ROW)].map(([, nb, other]) => [nb, other]));
    for (const { key, nb } of all) {
      const other = table.get(nb);
      assert.ok(other, `${language}: ${key} ${nb}`);
      assert.deepEqual(places(other), places(nb), `${language}: ${key}`);
    }
    const known = new Set(found.filter(({ key }) => SELF_SERVICE.test(key) || MENU.test(key)).map(({ nb }) => nb));
    for (const nb of table.keys()) assert.ok(known.has(nb), `${language}: nobody says ${nb}`);
  }
});
