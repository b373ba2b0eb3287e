/** The browser for tests and screenshots: the system's own Chromium, by Playwright's protocol client. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function executable() {
  const path = process.env.CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!path) throw new Error('No Chromium found. Install it (apt-get install chromium) or name it in CHROMIUM.');
  return path;
}

export function launch() {
  return chromium.launch({
    executablePath: executable(),
    headless: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}
