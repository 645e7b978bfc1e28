import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sampleResult, sampleSpec } from '../../../test/jobs/sample-report.js';
import { problem } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import { ResultCache } from './cache.js';
import { runCached } from './run-cached.js';

let folder: string;
let clock = 0;
const day = 24 * 3600 * 1000;
const open = (build = 'b1'): ResultCache => new ResultCache(path.join(folder, 'cache'), build, () => clock);
const job = (more: Partial<JobSpec> = {}): JobSpec =>
  sampleSpec('job', { trace: path.join(folder, 'trace'), ...more });

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cache-'));
  fs.mkdirSync(path.join(folder, 'trace'));
  fs.writeFileSync(path.join(folder, 'trace/events'), 'abc');
  clock = 1000 * day;
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const listener = { started() {}, progress() {}, note() {}, finished() {} };
/** Runs a job; returns how often it was really done, and its result. */
async function run(cache: ResultCache, spec: JobSpec, { fresh = false, fails = false } = {}) {
  let done = 0;
  const said: string[] = [];
  const run = { fresh, listener, complain: (text: string) => void said.push(text) };
  const [result] = await runCached([spec], cache, run, (left, { finished }) => {
    done += left.length;
    const problems = fails ? [problem('status', 'bad')] : [];
    const results = left.map(({ name }) => sampleResult(name, { problems }));
    left.forEach((one, at) => finished(one, results[at]));
    return Promise.resolve(results);
  });
  return { done, result, said };
}

describe('the cache of results', () => {
  it('skips an unchanged trace, whatever its name', async () => {
    expect(await run(open(), job())).toMatchObject({ done: 1, result: { cached: false } });
    const again = await run(open(), job({ name: 'renamed' }));
    expect(again).toMatchObject({ done: 0, result: { cached: true, name: 'renamed', state: 'passed' } });
    expect((await run(open(), job(), { fresh: true })).done).toBe(1);
  });

  it('does not where content, expectation or version is another', async () => {
    await run(open(), job());
    expect((await run(open('b2'), job())).done).toBe(1);
    const expecting = job({ expect: { ...job().expect, status: 1 } });
    expect((await run(open(), expecting)).done).toBe(1);
    fs.writeFileSync(path.join(folder, 'trace/events'), 'abd');
    expect((await run(open(), job())).done).toBe(1);
    expect((await run(open(), job({ unpacked: true }))).done).toBe(1);
    expect((await run(open(), job({ files: ['/lib'] }))).done).toBe(1);
    expect((await run(open(), job({ files: ['/lib'] }))).done).toBe(1);
    expect((await run(open(), job({ unpacked: true }))).done).toBe(1);
  });

  it('stores no failures, and removes unused results', async () => {
    await run(open(), job(), { fails: true });
    expect((await run(open(), job())).done).toBe(1);
    clock += 50 * day;
    expect((await run(open(), job())).done).toBe(0);
    clock += 50 * day;
    expect((await run(open(), job())).done).toBe(0);
    clock += 70 * day;
    open().prune();
    expect((await run(open(), job())).done).toBe(1);
  });

  it.each([
    ['a file where its folder should be', () => path.join(folder, 'trace/events/below')],
    // The kernel answers ENOENT there though the parent exists, which Node's own recursive mkdir does not end at.
    ['a folder below /proc', () => '/proc/nowhere/below/it'],
  ])('is not needed if it cannot be written: %s', async (_name, place) => {
    const cache = new ResultCache(place(), 'b1', () => clock);
    const { done, result, said } = await run(cache, job());
    expect(done).toBe(1);
    expect(result.state).toBe('passed');
    expect(said).toEqual([expect.stringMatching(/^results are not cached: .* \(\/.*below/)]);
  });

  it('does not stumble over a damaged entry', async () => {
    await run(open(), job());
    const key = open().key(job())!;
    fs.writeFileSync(path.join(folder, 'cache', key.slice(0, 2), `${key}.json`), '{');
    expect((await run(open(), job())).done).toBe(1);
  });
});
