/** What counts the specs, on specs that pass, fail, cannot start and block the event loop. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runSpecs } from '../../scripts/specs.mjs';

const fixtures = path.join(import.meta.dirname, 'fixtures');
const output = 'ignore';
const args = ['--config', path.join(fixtures, 'vitest.config.ts'), '--root', fixtures];

/** Longer than vitest takes to start and come to its first test, in fair seconds. */
const SILENCE_SECONDS = 8;
const LAST_WORDS = /; (the last test that ended is 'ends'|no test of it ended)$/;

describe('runSpecs', () => {
  it('counts every test, kills a file that hangs, names it and continues with the others', async () => {
    const { failures, ...counts } = await runSpecs({ args, output, silenceSeconds: SILENCE_SECONDS });
    // Whether the news of the last test came out before the process was blocked is for vitest's timers to decide.
    const lines = failures.map((failure) => failure.split('\n')[0].replace(LAST_WORDS, '')).sort();
    expect(lines).toEqual([
      'test/scripts/fixtures/broken.fixture.ts',
      'test/scripts/fixtures/good.fixture.ts > does not hold',
      `test/scripts/fixtures/hangs.fixture.ts: hung, killed after ${SILENCE_SECONDS} s without news`,
    ]);
    expect(failures.join()).toContain('no such luck');
    expect(counts).toMatchObject({ failed: 3, skipped: 2 });
    expect(counts.passed).toBeGreaterThanOrEqual(2);
  });

  it('fails nothing because vitest was slow to answer its worker', async () => {
    const { failures, ...counts } = await runSpecs({ args: [...args, 'late-news.fixture.ts'], output });
    expect(failures).toEqual([]);
    expect(counts).toEqual({ passed: 1, failed: 0, skipped: 0 });
  });

  it('gives up when its time is over', async () => {
    const { failures, passed } = await runSpecs({
      args: [...args, 'hangs.fixture.ts'],
      totalSeconds: 10,
      output,
    });
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(/out of time/);
    expect(passed).toBeLessThanOrEqual(1);
  });

  it('does not take a vitest that finds nothing for success', async () => {
    const { failed, passed } = await runSpecs({ args: [...args, 'absent.fixture.ts'], output });
    expect({ failed, passed }).toEqual({ failed: 1, passed: 0 });
  });
});
