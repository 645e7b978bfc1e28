/** `revenant ci --queue` and `revenant worker` as processes, with traces that are really replayed. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ExitCode } from '../../src/engine/base/errors.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { readPreamble } from '../../src/engine/persist/file.js';
import { MACHINE } from '../machines.js';
import { flipRegister } from '../trace/flip-register.js';
import { haveRedis, TestRedis } from './redis.js';
import { runRevenant } from './run-revenant.js';

const root = path.resolve(import.meta.dirname, '../..');
const WRITE = 1;
const traces = path.join(root, 'traces');

describe.skipIf(!haveRedis)('a worker with little memory (skipped without redis-server)', () => {
  let folder: string;
  let server: TestRedis;
  let worker: ChildProcess;
  let said = '';

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'worker-'));
    server = await TestRedis.start(folder);
    const args = ['worker', '--queue', server.url, '--name', 'small', '--jobs', '1'];
    worker = spawn(
      process.execPath,
      [path.join(root, 'bin/revenant'), ...args, '--machine', MACHINE, '--memory', '4M'],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, XDG_CACHE_HOME: folder } },
    );
    worker.stderr!.on('data', (bytes: Buffer) => (said += bytes.toString('utf8')));
  });
  afterAll(async () => {
    worker?.kill('SIGKILL');
    await server?.stop();
    fs.rmSync(folder, { recursive: true });
  });

  it('reports a trace that needs more, leaves one that asks for more, and lives', async () => {
    flipRegister(path.join(traces, 'skylake-pku/tree'), path.join(folder, 'flipped'), WRITE, 2);
    const manifest = path.join(folder, 'revenant.yaml');
    fs.writeFileSync(
      manifest,
      stringify({
        version: 1,
        traces: [
          { name: 'needs more', paths: path.join(traces, 'haswell/faults') },
          { name: 'asks for more', paths: path.join(traces, 'zen2/hello-static'), memory: '64M' },
          { name: 'flipped', paths: path.join(folder, 'flipped') },
          { name: 'fits', paths: path.join(traces, 'zen2/hello-static') },
        ],
      }),
    );
    const ci = (...args: string[]) =>
      runRevenant([
        ...['ci', manifest, '--queue', server.url, '--no-cache', '--json', '--queue-patience', '1'],
        ...['--store', path.join(folder, 'store'), ...args],
      ]);
    const artifacts = path.join(folder, 'artifacts');
    const { code, stdout } = await ci('--artifacts', artifacts);
    const { results } = JSON.parse(stdout) as RunReport;
    expect(code).toBe(ExitCode.diverged);
    expect(results.map(({ name, state }) => `${name}: ${state}`)).toEqual([
      'needs more: error',
      'asks for more: skipped',
      'flipped: failed',
      'fits: passed',
    ]);
    expect(results[0].problems[0]).toMatchObject({ kind: 'memory', code: 'E_MEMORY_LIMIT' });
    expect(results[0].problems[0].message).toMatch(/4 MiB|4194304/);
    expect(results[1].problems[0].message).toMatch(
      /67108864 bytes of guest memory, the worker gives 4194304/,
    );
    expect(results[2]).toMatchObject({ worker: 'small', debug: expect.stringMatching(/--from flipped\//) });
    const checkpoint = path.join(artifacts, results[2].debug!.split(' ').at(-1)!);
    expect(readPreamble(checkpoint).frameTime).toBe(results[2].divergence!.frameTime - 1);

    expect(worker.exitCode, said).toBe(null);
    const again = await ci('--only', 'fits');
    expect(again.code).toBe(0);
    worker.kill('SIGTERM');
    const [status] = (await once(worker, 'exit')) as [number | null];
    expect(status, said).toBe(0);
  });
});
