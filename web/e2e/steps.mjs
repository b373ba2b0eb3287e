/** What people do in more than one test. */
import { settled } from './target.mjs';

/** Finds a person of the story and chooses her. */
export async function choosePatient(page, target, story) {
  await page.goto(`${target.base}/helsepersonell`);
  await settled(page);
  await page.getByRole('searchbox').or(page.locator('form[role=search] input')).first().fill(target.people[story].pid);
  await page.locator('form[role=search] button[type=submit]').click();
  await page.locator('.hits button').first().click();
  await page.waitForURL('**/helsepersonell/pasient');
  await settled(page);
}

/** Opens the record with the patient's consent, or without a question as her GP. */
export async function openRecord(page, basis = 'SAMTYKKE') {
  const choice = page.locator(`input[name=basis][value=${basis}]`);
  if (await choice.count()) await choice.check();
  await page.locator('form.basis button[type=submit]').click();
  await page.locator('form.basis').waitFor({ state: 'detached' });
  await settled(page);
}
