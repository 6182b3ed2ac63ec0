// Opens /docs in a real browser as a person would: logs in by "Try it out", puts the token into "Authorize", and calls what
// is protected. Fails on an error in the console, a request to another host, or an answer that is not the expected one.
//
//   npm install --no-save playwright-core          once, and a Chromium: apt-get install chromium
//   node scripts/docs-in-a-browser.mjs http://127.0.0.1:8080 admin PASSWORD [SCREENSHOT.png]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [base, username, password, screenshot] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'voltgate-docs-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  viewport: { width: 1300, height: 1600 },
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update'],
});
const page = await browser.newPage();

const trouble = [];
page.on('console', (message) => {
  if (['error', 'warning'].includes(message.type())) trouble.push(message.text());
});
page.on('pageerror', (error) => trouble.push(String(error)));
page.on('request', (request) => {
  const url = request.url();
  if (!url.startsWith(base) && !url.startsWith('data:')) trouble.push(`a request to ${url}`);
});

async function tryOut(rpc, body) {
  const block = page.locator(`.opblock[id$="${rpc}"]`);
  await block.locator('.opblock-summary-control').click();
  await block.locator('button.try-out__btn').click();
  if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body));
  await block.locator('button.execute').click();
  const answer = block.locator('.live-responses-table');
  await answer.locator('tbody .response-col_status').first().waitFor();
  return {
    status: (await answer.locator('tbody .response-col_status').first().innerText()).trim(),
    text: await answer.locator('.microlight').first().innerText(),
  };
}

async function expect(what, status, answer) {
  if (answer.status !== status) trouble.push(`${what} was answered with ${answer.status}, not ${status}: ${answer.text}`);
  return answer;
}

await page.goto(`${base}/docs`);
await page.locator('.opblock').first().waitFor();
const login = await expect('the login', '201', await tryOut('LogIn', { username, password }));
await page.locator('button.authorize').first().click();
const dialog = page.locator('.auth-container', { hasText: 'accessToken' });
await dialog.locator('input').first().fill(JSON.parse(login.text).accessToken);
await dialog.locator('button.authorize').click();
await page.locator('button.btn-done').first().click();
await expect('the list of charge points', '200', await tryOut('ListChargePoints'));
if (screenshot) await page.screenshot({ path: screenshot });

await browser.close();
rmSync(profile, { recursive: true, force: true });
trouble.forEach((line) => console.error(`docs-in-a-browser: ${line}`));
process.exit(trouble.length === 0 ? 0 : 1);
