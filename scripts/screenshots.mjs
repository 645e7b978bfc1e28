/**
 * Takes the README's pictures of a report: `node scripts/screenshots.mjs REPORT.html OVERVIEW DIVERGED`; both are parts of
 * names of traces: the one to open below the overview, and one that diverged. Fails where the report writes anything to the
 * browser's console.
 */
import path from 'node:path';
import { chromium } from 'playwright-core';
import { root, say, script, StepFailed } from './lib.mjs';

const PICTURES = [
  { name: 'report', width: 1100, height: 900, colorScheme: 'light', opens: 0, from: 'body' },
  { name: 'report-divergence', width: 1100, height: 820, colorScheme: 'light', opens: 1, from: '.trace' },
  { name: 'report-phone-dark', width: 390, height: 820, colorScheme: 'dark', opens: 0, from: '.trace' },
];

await script(async () => {
  const [file, ...names] = process.argv.slice(2);
  if (names.length !== 2) throw new StepFailed('usage: screenshots.mjs REPORT.html OVERVIEW DIVERGED');
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    for (const picture of PICTURES) {
      const { width, height, colorScheme, opens, from } = picture;
      const page = await browser.newPage({ viewport: { width, height }, colorScheme });
      page.on('console', (message) => {
        throw new StepFailed(`the report complains: ${message.text()}`);
      });
      page.on('pageerror', (error) => {
        throw new StepFailed(`the report fails: ${error.message}`);
      });
      await page.goto(`file://${path.resolve(file)}`);
      const trace = page.locator('.trace', { hasText: names[opens] }).first();
      await trace.click();
      await page.locator('canvas').first().waitFor();
      const top = from === 'body' ? page.locator('body') : trace;
      await top.evaluate((element) => element.scrollIntoView());
      const target = path.join(root, 'assets/screenshots', `${picture.name}.png`);
      await page.screenshot({ path: target });
      say(`${path.relative(root, target)}: ${width}x${height}, ${colorScheme}`);
    }
  } finally {
    await browser.close();
  }
});
