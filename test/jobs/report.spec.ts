import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { htmlReport } from '../../src/jobs/report/html.js';
import { scanTrace } from '../../src/jobs/model/timeline.js';
import { problem } from '../../src/jobs/model/result.js';
import { chromiumProgram, launchChromium, openFile } from './browser.js';
import { NASTY, sampleReport, sampleResult, sampleResults } from './sample-report.js';

const root = path.resolve(import.meta.dirname, '../..');

function timelineOf(name: string) {
  const reader = TraceReader.open(path.join(root, 'traces', name));
  try {
    return scanTrace(reader).timeline;
  } finally {
    reader.close();
  }
}

/** Everything that a report can show. */
function fullReport() {
  const results = sampleResults();
  const timeline = timelineOf('haswell/faults');
  for (const result of results) result.timeline = timeline;
  results.push(
    sampleResult('asked', {
      timeline,
      questions: [
        {
          name: 'sum',
          asked: 'tree_sum(root)',
          place: 'at exit',
          state: 'failed',
          expected: '1234567',
          found: '7654321',
          problem: 'is another value than expected',
          again: 'revenant call zen2/asked --at exit tree_sum',
        },
      ],
      problems: [
        problem('question', 'Question sum (at exit): is wrong.', { expected: '1234567', found: '7654321' }),
      ],
      opening: "'/traces/as ked' --unpacked",
      stacks: [
        {
          what: 'Question sum',
          place: 'tree.c:65:2',
          frames: [
            {
              function: 'insert',
              address: '0x401136',
              file: 'tree.c',
              line: 12,
              source: [{ number: 12, text: '  insert(n, key); /* <b> */', current: true }],
              variables: [{ name: 'key', value: '108', argument: true }],
            },
            { function: null, address: '0x2', file: null, line: null, source: [], variables: [] },
          ],
        },
      ],
    }),
    sampleResult(NASTY),
  );
  return sampleReport(results);
}

describe.skipIf(chromiumProgram === null)('the HTML report in Chromium (skipped without it)', () => {
  let browser: Browser;
  let folder: string;
  let file: string;

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'report-'));
    file = path.join(folder, 'report.html');
    fs.writeFileSync(file, htmlReport(fullReport()));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    fs.rmSync(folder, { recursive: true });
  });

  it('opens from a file, without the network and without complaints, and shows every state', async () => {
    const { page, complaints, close } = await openFile(browser, file);
    const rows = await page.locator('.trace .state').allInnerTexts();
    expect(rows.map((text) => text.replace(/^\S+\s+/, ''))).toEqual([
      ...['failed', 'failed', 'failed', 'error', 'flaky', 'skipped', 'passed', 'passed'],
    ]);
    for (const trace of await page.locator('.trace').all()) await trace.click();
    await expect.poll(() => page.locator('canvas').count(), { timeout: 600_000 }).toBe(7);
    // Names are shown as text, whatever they contain.
    expect((await page.locator('.trace .name').allInnerTexts()).join('\n')).toContain('</script><b>&"');
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows both registers of a divergence, the instruction, and expected and found of a question', async () => {
    const { page, close } = await openFile(browser, file);
    await page.locator('.trace', { hasText: 'zen2/diverged' }).click();
    const differing = page.locator('tr.differs');
    expect(await differing.count()).toBe(1);
    expect(await differing.innerText()).toMatch(/\* rdx\s+0000000000000040\s+0000000000000041/);
    expect(await page.locator('tr.here').innerText()).toMatch(/0x401001\s+0f05\s+syscall/);
    await page.locator('.trace', { hasText: 'asked' }).click();
    const question = page.getByRole('table', { name: 'Questions' });
    expect(await question.innerText()).toMatch(
      /wrong\s+sum\s+at exit\s+tree_sum\(root\)\s+1234567\s+7654321/,
    );
    const again = page.getByText('revenant call zen2/asked --at exit tree_sum');
    expect(await again.isVisible()).toBe(true);
    await close();
  });

  it('shows the stack of a wrong answer, and both answers in the overview', async () => {
    const { page, complaints, close } = await openFile(browser, file);
    const asked = page.locator('.trace', { hasText: 'asked' });
    expect(await asked.innerText()).toContain('is wrong: expected 1234567, found 7654321');
    await asked.click();
    const stack = page.locator('.stack');
    expect(await stack.innerText()).toMatch(
      /insert\s+tree\.c:12\s+12 +insert\(n, key\); \/\* <b> \*\/[\s\S]*key\s+108\s+argument[\s\S]*no symbol\s+0x2/,
    );
    const command = "revenant gdb '/traces/as ked' --unpacked --goto tree.c:65:2";
    expect(await page.getByText(command).isVisible()).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });

  it('finds events by arguments of calls, and shows the commands to go there', async () => {
    const { page, close } = await openFile(browser, file);
    await page.locator('.trace', { hasText: 'asked' }).click();
    const find = page.locator('.find input').first();
    await find.fill('exit_group(0)');
    await find.press('Enter');
    const said = page.locator('[aria-live="polite"]').first();
    expect(await said.innerText()).toMatch(/^frame \d+, task \d+: exit_group\(0\), /);
    const frame = /\d+/.exec(await said.innerText())![0];
    for (const command of [`gdb '/traces/as ked' --unpacked --goto ${frame}`, `--at ${frame} '$rip'`])
      expect(await page.locator('.here-commands', { hasText: command }).isVisible()).toBe(true);
    await find.fill('nothing is like this');
    await find.press('Enter');
    expect(await page.locator('.find').first().innerText()).toContain('No event is like that.');
    await close();
  });

  it('works with the keyboard only', async () => {
    const { page, complaints, close } = await openFile(browser, file);
    await page.locator('.trace').first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    const second = page.locator('.trace').nth(1);
    expect(await second.getAttribute('aria-expanded')).toBe('true');
    const canvas = page.locator('canvas').first();
    await canvas.waitFor();
    for (let tabs = 0; tabs < 30; tabs++) {
      await page.keyboard.press('Tab');
      if (await canvas.evaluate((element) => element.ownerDocument.activeElement === element)) break;
    }
    const said = page.locator('[aria-live="polite"]').first();
    await page.keyboard.press('End');
    expect(await said.innerText()).toMatch(/^frame 315, task \d+: /);
    await page.keyboard.press('ArrowLeft');
    expect(await said.innerText()).toMatch(/^frame 314, /);
    await page.keyboard.press('+');
    await page.keyboard.press('0');
    // The search and its buttons come between.
    for (let tabs = 0; tabs < 4; tabs++) await page.keyboard.press('Tab');
    await page.keyboard.press('Home');
    expect(await said.innerText()).toMatch(/^frame 1, /);
    expect(await page.locator('.events .row.chosen').innerText()).toMatch(/^\s+1 /);
    // Rows that are out of sight do not exist.
    expect(await page.locator('.events .row').count()).toBeLessThan(40);
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows the event under the pointer, and filters', async () => {
    const { page, close } = await openFile(browser, file);
    await page.locator('.trace', { hasText: 'zen2/passed' }).click();
    const canvas = page.locator('canvas').first();
    await canvas.hover({ position: { x: 300, y: 34 } });
    expect(await page.locator('.tip').innerText()).toMatch(/^frame \d+, task \d+: /);
    await page
      .getByRole('button', { name: /skipped/ })
      .first()
      .click();
    expect(await page.locator('.trace:visible').count()).toBe(1);
    await page.getByRole('button', { name: /^all/ }).click();
    await page.getByRole('searchbox', { name: /Only traces/ }).fill('zen2/f');
    expect(await page.locator('.trace:visible').allInnerTexts()).toHaveLength(1);
    await close();
  });

  it('is light or dark as the system is, and fits a phone', async () => {
    const seen: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, complaints, close } = await openFile(browser, file, {
        width: 360,
        height: 740,
        colorScheme,
      });
      await page.locator('.trace', { hasText: 'asked' }).click();
      await page.getByRole('table', { name: 'Questions' }).waitFor();
      await page.locator('.trace', { hasText: 'zen2/diverged' }).click();
      await page.locator('canvas').nth(1).waitFor();
      seen.push(
        await page
          .locator('body')
          .evaluate((body) => body.ownerDocument.defaultView!.getComputedStyle(body).backgroundColor),
      );
      const width = await page.locator('html').evaluate((element) => element.scrollWidth);
      expect(width).toBeLessThanOrEqual(360);
      expect(complaints).toEqual([]);
      await close();
    }
    expect(seen).toEqual(['rgb(246, 247, 249)', 'rgb(20, 23, 27)']);
  });
});
