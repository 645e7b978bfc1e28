import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../src/jobs/queue/connection.js';
import type { SubmitOptions } from '../../src/jobs/queue/submit.js';
import { submitJobs } from '../../src/jobs/queue/submit.js';
import { haveRedis, TestRedis } from './redis.js';
import { sampleSpec } from './sample-report.js';

const root = path.resolve(import.meta.dirname, '../..');
const program = path.join(import.meta.dirname, 'fixtures/queue-worker.mjs');
const built = fs.existsSync(path.join(root, 'dist/jobs/queue/worker.js'));
const trace = path.join(root, 'traces/zen2/hello-static');
const jobs = (count: number, more = {}) =>
  Array.from({ length: count }, (_, at) => sampleSpec(`job ${at}`, { trace, ...more }));

describe.skipIf(!haveRedis || !built)('a queue (skipped without redis-server, or before a build)', () => {
  let folder: string;
  let server: TestRedis;
  let redis: Redis;
  const workers = new Set<ChildProcess>();

  const startWorker = (name: string, milliseconds: number): ChildProcess => {
    const args = [program, server.url, name, String(milliseconds)];
    const worker = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    workers.add(worker);
    worker.once('exit', () => workers.delete(worker));
    return worker;
  };
  /** One that takes jobs when this resolves. */
  const readyWorker = async (name: string, milliseconds: number): Promise<ChildProcess> => {
    const worker = startWorker(name, milliseconds);
    while ((await redis.exists(`test:worker:${name}`)) === 0) {
      expect(worker.exitCode, 'the worker runs').toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return worker;
  };
  const stopWorkers = async (): Promise<void> => {
    for (const worker of [...workers]) {
      worker.kill('SIGTERM');
      if (workers.has(worker)) await once(worker, 'exit');
    }
  };
  const options = (more: Partial<SubmitOptions>): SubmitOptions => ({
    redis,
    prefix: 'test',
    run: Math.random().toString(36).slice(2),
    store: null,
    storeName: null,
    artifacts: null,
    listener: { started() {}, progress() {}, note() {}, finished() {} },
    say() {},
    signal: new AbortController().signal,
    patienceSeconds: 60,
    now: () => performance.now(),
    ...more,
  });

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'queue-'));
    server = await TestRedis.start(folder);
    redis = await connect(server.url, () => {});
  });
  afterAll(async () => {
    for (const worker of workers) worker.kill('SIGKILL');
    redis?.disconnect();
    await server?.stop();
    fs.rmSync(folder, { recursive: true });
  });

  it('brings 60 results, each once, though a worker is killed and Redis restarted', async () => {
    const [victim] = ['a', 'b', 'c'].map((name) => startWorker(name, 150));
    const finished: string[] = [];
    const restarts: Promise<void>[] = [];
    const results = await submitJobs(
      jobs(60),
      options({
        listener: {
          started() {},
          progress() {},
          note() {},
          finished: ({ name }) => {
            finished.push(name);
            if (finished.length === 20) restarts.push(server.stop().then(() => server.start()));
            if (finished.length === 30) victim.kill('SIGKILL');
          },
        },
      }),
    );
    await Promise.all(restarts);
    expect(victim.signalCode).toBe('SIGKILL');
    expect(finished).toHaveLength(60);
    expect(new Set(finished).size).toBe(60);
    expect(results.map(({ name, state }) => `${name} ${state}`)).toEqual(
      jobs(60).map(({ name }) => `${name} passed`),
    );
    expect(new Set(results.map(({ worker }) => worker)).size).toBeGreaterThan(1);
    await stopWorkers();
  });

  it.each([
    ['is away for longer than jobs are held', () => server.stop(), 8_000],
    ['is killed and comes back empty', () => server.lose(), 1_000],
    ['answers after seconds', () => redis.client('PAUSE', 6_000, 'ALL'), 0],
  ])('brings each result once, though Redis %s', async (_, disturb, milliseconds) => {
    await redis.flushdb();
    startWorker('a', 50);
    startWorker('b', 50);
    const finished: string[] = [];
    let disturbed: Promise<unknown> = Promise.resolve();
    const results = await submitJobs(
      jobs(16),
      options({
        listener: {
          started() {},
          progress() {},
          note() {},
          finished: ({ name }) => {
            finished.push(name);
            if (finished.length !== 5) return;
            disturbed = (async () => {
              await disturb();
              await new Promise((resolve) => setTimeout(resolve, milliseconds));
              if (milliseconds > 0) await server.start();
            })();
          },
        },
      }),
    );
    await disturbed;
    expect(finished).toHaveLength(16);
    expect(new Set(finished).size).toBe(16);
    expect(results.map(({ name, state }) => `${name} ${state}`)).toEqual(
      jobs(16).map(({ name }) => `${name} passed`),
    );
    await stopWorkers();
  });

  it('assigns jobs only to suitable workers, and skips those without one', async () => {
    await redis.flushdb();
    await readyWorker('small', 1);
    const limits = { timeoutSeconds: 9, memoryBytes: 5e9, stallSeconds: 9 };
    const [able, unable] = await submitJobs(
      [...jobs(1), sampleSpec('large', { trace, limits })],
      options({ patienceSeconds: 0.1 }),
    );
    expect(able).toMatchObject({ state: 'passed', worker: 'small' });
    expect(unable.state).toBe('skipped');
    expect(unable.problems[0].message).toMatch(/No worker can replay this trace\. small has no memory\./);
    await stopWorkers();
  });

  it('takes its jobs back when it is aborted', async () => {
    const abort = new AbortController();
    const run = submitJobs(
      jobs(5),
      options({ signal: abort.signal, say: () => abort.abort(new Error('stop')) }),
    );
    expect((await run).map(({ problems }) => problems[0].kind)).toEqual(Array<string>(5).fill('interrupted'));
    expect(await redis.keys('test:jobs-*:wait')).toEqual([]);
  });

  it('sets foreign entries aside, and continues', async () => {
    // Only the queue of these jobs: others of this file may have left theirs.
    await redis.flushdb();
    await redis.hset('test:needs', 'zzz', 'not json', 'yyy', '{"processor":{"xcr0":"many"}}');
    const worker = startWorker('patient', 1);
    const [before] = await submitJobs(jobs(1), options({}));
    expect(before).toMatchObject({ state: 'passed', worker: 'patient' });
    // A job and a result of another version, in the queue that the worker has open.
    const [queue] = (await redis.keys('test:jobs-*:meta')).map((name) => name.split(':')[1]);
    const { Queue } = await import('bullmq');
    const other = new Queue(queue, { connection: redis, prefix: 'test' });
    const strange = await other.add('strange', { spec: 'of tomorrow' });
    const [after] = await submitJobs(jobs(1), options({}));
    expect(after).toMatchObject({ state: 'passed', worker: 'patient' });
    expect((await other.getJob(strange.id!))?.failedReason).toMatch(/the worker cannot parse it/);
    expect(worker.exitCode).toBe(null);
    await other.close();
    await redis.hdel('test:needs', 'zzz', 'yyy');
    await stopWorkers();
  });

  it('waits while Redis has no memory for it', async () => {
    await redis.config('SET', 'maxmemory', '1');
    const said: string[] = [];
    const run = submitJobs(
      jobs(2),
      options({
        say: (text) => {
          said.push(text);
          void redis.config('SET', 'maxmemory', '0');
        },
      }),
    );
    startWorker('late', 1);
    expect((await run).map(({ state }) => state)).toEqual(['passed', 'passed']);
    expect(said[0]).toMatch(/Redis refuses: .*OOM/);
    await stopWorkers();
  });

  it('is refused where none answers', async () => {
    await expect(connect('redis://127.0.0.1:1', () => {})).rejects.toThrow(/No Redis at/);
    await expect(connect('http://x', () => {})).rejects.toThrow(/Invalid Redis URL/);
  });
});
