import { describe, expect, it } from 'vitest';
import { sampleResult, sampleSpec as spec } from '../../../test/jobs/sample-report.js';
import { problem } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { PoolOptions } from './pool.js';
import { poolWidth, runPool } from './pool.js';
import type { RunningJob } from './process.js';

/** A pool over jobs that end on command. */
function harness(jobs: JobSpec[], more: Partial<PoolOptions> = {}) {
  const said: string[] = [];
  const ends: ((ok: boolean) => void)[] = [];
  const start = ({ name }: JobSpec): RunningJob => {
    let end: (ok: boolean) => void = () => {};
    const result = new Promise<boolean>((resolve) => (end = resolve)).then((ok) =>
      sampleResult(name, ok ? {} : { problems: [problem('status', 'bad')] }),
    );
    ends.push(end);
    return { result, cancel: () => end(false) };
  };
  const done = runPool({
    jobs,
    width: 2,
    start,
    weigh: ({ name }) => name.length,
    listener: {
      started: ({ name }) => said.push(`start ${name}`),
      progress() {},
      note: ({ name }, text) => said.push(`${name} ${text}`),
      finished: ({ name }, { state }) => said.push(`end ${name} ${state}`),
    },
    ...more,
  });
  return { said, ends, done };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a pool', () => {
  it('runs a limited number at a time, the largest first, and keeps the order of results', async () => {
    const { said, ends, done } = harness([spec('a'), spec('bb'), spec('ccc')]);
    expect(said).toEqual(['start ccc', 'start bb']);
    ends[1](true);
    await turn();
    expect(said.slice(2)).toEqual(['end bb passed', 'start a']);
    ends[0](false);
    ends[2](true);
    expect((await done).map(({ name, state }) => `${name} ${state}`)).toEqual([
      'a passed',
      'bb passed',
      'ccc failed',
    ]);
  });

  it('tries again only where asked to, and flags it', async () => {
    const { said, ends, done } = harness([spec('a', { retries: 1 }), spec('b')], { width: 1 });
    ends[0](false);
    await turn();
    ends[1](true);
    await turn();
    ends[2](false);
    const [first, second] = await done;
    expect(said).toEqual(['start a', 'a attempt 2', 'end a passed', 'start b', 'end b failed']);
    expect(first).toMatchObject({ attempts: 2, flaky: true });
    expect(second).toMatchObject({ attempts: 1, flaky: false });
  });

  it('ends what runs when it is aborted', async () => {
    const abort = new AbortController();
    const { ends, done } = harness([spec('a'), spec('b'), spec('c')], { signal: abort.signal });
    abort.abort(new Error('stop'));
    const results = await done;
    expect(ends).toHaveLength(2);
    expect(results[2]).toMatchObject({ name: 'c', state: 'skipped', problems: [{ kind: 'interrupted' }] });
  });
});

describe('the width of a pool', () => {
  const gib = 1024 ** 3;
  it('is bounded by processors, memory and jobs', () => {
    const jobs = Array.from({ length: 8 }, (_, at) => spec(String(at)));
    expect(poolWidth(4, 64 * gib, jobs)).toBe(4);
    expect(poolWidth(4, 2.5 * gib, jobs)).toBe(2);
    expect(poolWidth(4, 64 * gib, jobs.slice(0, 1))).toBe(1);
    expect(poolWidth(4, 0, jobs)).toBe(1);
    expect(poolWidth(4, 64 * gib, jobs, 40)).toBe(2);
    expect(poolWidth(4, 64 * gib, jobs, 3)).toBe(1);
    const large = spec('large', {
      limits: { timeoutSeconds: 1, memoryBytes: 8 * gib, stallSeconds: 1 },
    });
    expect(poolWidth(4, 18 * gib, [...jobs, large])).toBe(2);
  });
});
