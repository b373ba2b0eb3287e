/** Self-service of HelseID clients by keyboard and mouse. The private key never leaves the browser. Fixtures only: they throw when it does. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { violations } from './axe.mjs';
import { isHub, login, newPage, openTarget, settled } from './target.mjs';

const skip = isHub && 'the clients of a running hub differ';
const CLIENT = '/drift/klienter/3f1c0a52-8c1e-4a52-b9a4-0d51a0a9d8f1';
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

async function checked(page, where) {
  assert.deepEqual(await violations(page), [], `axe: ${where}`);
}

test('a key is made in the browser: only its public half is sent, the private half is a file', { skip }, async () => {
  const page = await open(CLIENT);
  const sent = [];
  page.on('request', (request) => request.method() === 'POST' && sent.push(request.postData()));
  for (const kind of ['p256', 'rsa4096']) {
    await page.getByRole('button', { name: 'Ny nøkkel' }).click();
    await checked(page, 'new key');
    await dialog(page).getByLabel('Type nøkkel').selectOption(kind);
    await dialog(page).getByRole('button', { name: 'Lag nøkkel', exact: true }).click();
    await dialog(page).getByRole('button', { name: 'Last ned privat nøkkel' }).waitFor({ timeout: 60_000 });
    await checked(page, 'key made');
    await dialog(page).getByRole('button', { name: 'Registrer nøkkelen' }).click();
    await page.getByText('Last ned den private nøkkelen før du registrerer.').waitFor();
    const [file] = await Promise.all([page.waitForEvent('download'), dialog(page).getByRole('button', { name: 'Last ned privat nøkkel' }).click()]);
    const kept = JSON.parse(await readFile(await file.path(), 'utf8'));
    assert.ok(kept.private_jwk.d && kept.client_id && kept.issuer);
    await dialog(page).getByRole('button', { name: 'Registrer nøkkelen' }).click();
    await dialog(page).waitFor({ state: 'detached' });
    await page.getByText(kept.private_jwk.kid).waitFor();
    const { jwk } = JSON.parse(sent.at(-1));
    const wanted = kind === 'p256' ? ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'] : ['alg', 'e', 'kid', 'kty', 'n', 'use'];
    assert.deepEqual(Object.keys(jwk).sort(), wanted);
    assert.ok(sent.every((body) => !body.includes(kept.private_jwk.d)));
  }
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('a pasted private key is refused before anything is sent', { skip }, async () => {
  const page = await open(CLIENT);
  const sent = [];
  page.on('request', (request) => request.method() === 'POST' && sent.push(request.url()));
  await page.getByRole('button', { name: 'Ny nøkkel' }).click();
  await dialog(page).getByLabel('Lim inn en offentlig nøkkel').check();
  const field = dialog(page).getByLabel('Offentlig nøkkel (JWK)');
  for (const [text, said] of [
    ['nøkkel', 'Dette er ikke en JWK.'],
    ['{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}', 'Dette er en privat nøkkel.'],
  ]) {
    await field.fill(text);
    await dialog(page).getByRole('button', { name: 'Registrer nøkkelen' }).click();
    await page.getByText(said).waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
  }
  assert.deepEqual(sent, []);
  await field.fill('{"kty":"OKP","crv":"Ed25519","x":"a"}');
  await dialog(page).getByRole('button', { name: 'Registrer nøkkelen' }).click();
  await page.getByText('Nøkkelen kan ikke brukes.').waitFor();
  await page.getByText('use RSA of at least 2048 bits').waitFor();
  await checked(page, 'refused key');
  await page.context().close();
});

test('what waits is approved and rejected with a reason', { skip }, async () => {
  const page = await open('/drift/klienter');
  await page.getByRole('button', { name: 'Godkjenn nhn:pps/provesvar-read for Vår EPJ – Fjordglott legekontor' }).click();
  await checked(page, 'approve');
  await dialog(page).getByRole('button', { name: 'Godkjenn' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: /^Avvis nhn:msh\/api for Labmottak/ }).click();
  await dialog(page).getByLabel('Begrunnelse').fill('Ingen avtale.');
  await dialog(page).getByRole('button', { name: 'Avvis' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.goto(`${target.base}/drift/klienter/9a5d8e6b-2a41-47a3-9d0a-7f2f1f1f6a11`);
  await settled(page);
  await page.getByText('Ingen avtale.').waitFor();
  await page.context().close();
});

test('scopes are asked for and given up; a party decides on nothing', { skip }, async () => {
  const page = await open(CLIENT, { who: 'party', width: 375 });
  assert.equal(await page.getByRole('button', { name: /^Godkjenn/ }).count(), 0);
  await page.getByRole('button', { name: 'Be om tilgang' }).click();
  await checked(page, 'ask');
  await dialog(page).getByRole('button', { name: 'Be om tilgang' }).click();
  await page.getByText('Velg minst én tilgang.').waitFor();
  await dialog(page).getByLabel('api', { exact: true }).check();
  await dialog(page).getByRole('button', { name: 'Be om tilgang' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Fjern nhn:msh/api' }).click();
  await dialog(page).getByRole('button', { name: 'Fjern' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  assert.equal(await page.getByText('nhn:msh/api', { exact: true }).count(), 0);
  await page.context().close();
});

test('addresses: what is wrong is said in the dialog, what is right is kept', { skip }, async () => {
  const page = await open(CLIENT);
  await page.getByRole('button', { name: 'Endre adresser' }).click();
  await dialog(page).getByRole('textbox', { name: 'Etter innlogging' }).fill('http://epj.no/cb');
  await dialog(page).getByRole('button', { name: 'Lagre' }).click();
  await page.getByText('En adresse etter innlogging kan ikke registreres.').waitFor();
  await checked(page, 'addresses');
  await dialog(page).getByRole('textbox', { name: 'Etter innlogging' }).fill('https://epj.no/cb\n\n https://epj.no/to ');
  await dialog(page).getByRole('button', { name: 'Lagre' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByText('https://epj.no/to', { exact: true }).waitFor();
  await page.context().close();
});

test('a draft is confirmed by its organisation, and the browser goes back to the program', { skip }, async () => {
  const page = await open('/drift/klienter/c0d3d00d-0000-4000-8000-000000000001?port=1337&path=callback', { who: 'party' });
  await checked(page, 'draft');
  const [request] = await Promise.all([page.waitForRequest(/localhost:1337/), page.getByRole('button', { name: 'Bekreft' }).click()]);
  assert.equal(request.url(), 'http://localhost:1337/callback?status=Success');
  await page.context().close();
});

test('by keyboard: register a client, close and delete it', { skip }, async () => {
  const page = await open('/drift/klienter/ny', { who: 'party' });
  await page.getByRole('button', { name: 'Registrer', exact: true }).press('Enter');
  await page.getByText('Velg et klientsystem.').waitFor();
  await checked(page, 'new client');
  await page.getByLabel('Klientsystem').selectOption({ index: 1 });
  await page.getByLabel('Navn på klienten').fill('Ny klient');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/drift/klienter/ny-klient');
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  await page.getByRole('button', { name: 'Slett klienten' }).focus();
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  for (let i = 0; i < 6; i++) {
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement?.closest('dialog'))));
  }
  await page.keyboard.press('Escape');
  await dialog(page).waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Slett klienten');
  await page.keyboard.press('Enter');
  await dialog(page).getByRole('button', { name: 'Slett' }).press('Enter');
  await page.waitForURL('**/drift/klienter');
  await settled(page);
  assert.equal(await page.getByText('ny-klient').count(), 0);
  await page.context().close();
});

test('an app of citizens: a system, a client without a key, rights that wait', { skip }, async () => {
  const page = await open('/drift/klienter');
  await page.getByRole('button', { name: 'Nytt klientsystem' }).click();
  await dialog(page).getByLabel('Navn på systemet').fill('Timebok');
  await dialog(page).getByLabel('Leverandørens organisasjonsnummer').fill('918108393');
  await dialog(page).getByLabel('Innbyggere, i en app uten nøkkel').check();
  assert.equal(await dialog(page).getByText('Hvem bruker en installasjon?').count(), 0);
  await checked(page, 'system of citizens');
  await dialog(page).getByRole('button', { name: 'Registrer systemet' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('cell', { name: 'Innbyggere (app)' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Ny API-nøkkel for Timebok' }).count(), 0);

  // By links: a reload would be another session of the fixtures.
  await page.getByRole('link', { name: 'Registrer klient' }).click();
  await page.getByLabel('Klientsystem').selectOption({ label: 'Timebok (Vår EPJ AS)' });
  await page.getByLabel('Navn på klienten').fill('Timebok');
  await page.getByLabel('Organisasjonsnummer til virksomheten').fill('889640782');
  const [sent] = await Promise.all([page.waitForRequest((one) => one.method() === 'POST'), page.keyboard.press('Enter')]);
  assert.deepEqual(JSON.parse(sent.postData()).scopes, []);
  await page.waitForURL('**/drift/klienter/ny-klient');
  await page.getByText('Innbyggerne som logger inn').waitFor();
  await page.getByText('hver installasjon viser sitt eget sertifikat').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Ny nøkkel' }).count(), 0);
  await page.getByRole('button', { name: 'Be om tilgang' }).click();
  await dialog(page).getByText('Ingen kan logge inn før den første er godkjent.').waitFor();
  await dialog(page).getByLabel('Navnet').check();
  await checked(page, 'rights');
  await dialog(page).getByRole('button', { name: 'Be om tilgang' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Godkjenn oidcnavn for Timebok' }).waitFor();
  await checked(page, 'client of citizens');
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('systems, API keys and delegations', { skip }, async () => {
  const page = await open('/drift/klienter');
  await page.getByRole('button', { name: 'Nytt klientsystem' }).click();
  await checked(page, 'new system');
  await dialog(page).getByLabel('Navn på systemet').fill('Ny EPJ');
  await dialog(page).getByLabel('Leverandørens organisasjonsnummer').fill('918108393');
  await page.keyboard.press('Enter');
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('rowheader', { name: 'Ny EPJ' }).waitFor();
  await page.getByRole('button', { name: 'Ny API-nøkkel for Vår EPJ' }).click();
  await dialog(page).getByRole('button', { name: 'Lag nøkkel' }).click();
  await page.getByText('Den vises bare denne ene gangen.').waitFor();
  await checked(page, 'API key');
  await dialog(page).getByRole('button', { name: 'Lukk' }).last().click();
  await page.getByRole('button', { name: 'Gi fullmakt' }).click();
  await dialog(page).getByRole('button', { name: 'Gi fullmakt' }).click();
  await page.getByText('Skriv 9 siffer.').first().waitFor();
  await dialog(page).getByLabel('Virksomhetens organisasjonsnummer').fill('889640782');
  await dialog(page).getByLabel('Leverandørens organisasjonsnummer').fill('974706490');
  await dialog(page).getByRole('button', { name: 'Gi fullmakt' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: /Trekk tilbake fullmakten fra Fjordglott legekontor til Nordlys/ }).click();
  await dialog(page).getByRole('button', { name: 'Trekk tilbake' }).click();
  await page.getByText('Ingen fullmakter er gitt.').waitFor();
  await page.context().close();
});
