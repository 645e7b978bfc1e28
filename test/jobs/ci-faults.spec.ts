/** `revenant ci` with failures around it: no result is lost. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { MACHINE } from '../machines.js';
import { flipRegister } from '../trace/flip-register.js';
import { runRevenant } from './run-revenant.js';

const root = path.resolve(import.meta.dirname, '../..');
const traces = path.join(root, 'traces');
const WRITE = 1;
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);
const read = (name: string): string => fs.readFileSync(inFolder(name), 'utf8');

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ci-faults-'));
  fs.writeFileSync(inFolder('file'), '');
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('what cannot be written', () => {
  it('is said, and takes nothing else with it', async () => {
    flipRegister(path.join(traces, 'skylake-pku/tree'), inFolder('set/flipped'), WRITE, 2);
    const long = `${'x'.repeat(250)}.xml`;
    const { code, stdout, stderr } = await runRevenant([
      ...['ci', path.join(traces, 'zen2'), '--only', 'xcr0probe', '--machine', MACHINE, '--json'],
      // A folder below /proc cannot be made, though its parent is there; a file holds no folder.
      ...['--cache', '/proc/nowhere/cache', '--html', inFolder('file/report.html')],
      ...['--artifacts', inFolder('file/artifacts'), '--junit', inFolder(long)],
    ]);
    expect(stderr).toMatch(
      /warning: results are not cached: no such file or directory \(\/proc\/nowhere\/cache\)/,
    );
    expect(stderr).toMatch(/warning: Cannot write the report .*report\.html: not a directory/);
    expect(stderr).toMatch(/revenant: 1 passed/);
    const report = JSON.parse(stdout) as RunReport;
    expect(report.results.map(({ name, state }) => `${name} ${state}`)).toEqual(['xcr0probe passed']);
    expect(read(long)).toMatch(/tests="1" failures="0" errors="0" skipped="0"/);
    expect(code).toBe(ExitCode.output);
  });

  it('does not hide that a trace failed', async () => {
    const { code, stderr } = await runRevenant([
      ...['ci', inFolder('set'), '--machine', MACHINE, '--no-cache'],
      ...['--artifacts', inFolder('file/artifacts')],
    ]);
    expect(stderr).toMatch(/Cannot write artifacts to .*artifacts: not a directory/);
    expect(stderr).toMatch(/revenant: 0 passed, 1 failed/);
    expect(code).toBe(ExitCode.diverged);
  });
});

describe('a run that is ended', () => {
  /** Ends `revenant ci` when the first of its traces is done. */
  async function endedBy(signal: NodeJS.Signals) {
    const junit = `${signal}.xml`;
    const child = spawn(
      process.execPath,
      [
        ...[path.join(root, 'bin/revenant'), 'ci', path.join(traces, 'zen2'), '--machine', MACHINE],
        ...['--jobs', '1', '--no-cache', '--json', '--junit', inFolder(junit), '--html', inFolder('r.html')],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (bytes: Buffer) => (text.stdout += bytes.toString('utf8')));
    child.stderr.on('data', (bytes: Buffer) => {
      text.stderr += bytes.toString('utf8');
      if (!child.killed && /^\[1\/6\] pass/m.test(text.stderr)) child.kill(signal);
    });
    const [code] = (await once(child, 'close')) as [number | null];
    const done = [...text.stderr.matchAll(/^\[\d\/6\] pass +(\S+)/gm)].map(([, name]) => name);
    const xml = read(junit);
    const passed = [...xml.matchAll(/<testcase name="([^"]*)"[^>]*\/>/g)].map(([, name]) => name);
    return { code, ...text, done, xml, passed };
  }

  it.each([
    ['SIGINT', ExitCode.interrupted],
    ['SIGTERM', ExitCode.terminated],
  ] as const)('by %s has its reports, with the rest as not run', async (signal, expected) => {
    const { code, stdout, stderr, done, xml, passed } = await endedBy(signal);
    expect(code, stderr).toBe(expected);
    expect(passed).toEqual(done);
    expect(done.length).toBeLessThan(6);
    expect(xml.match(/<skipped message="Not run: interrupted\."\/>/g)).toHaveLength(6 - done.length);
    const { counts } = JSON.parse(stdout) as RunReport;
    expect(counts).toMatchObject({ passed: done.length, skipped: 6 - done.length, total: 6 });
    expect(fs.readFileSync(inFolder('r.html'), 'utf8')).toMatch(/Not run: interrupted\./);
  });

  it('by SIGKILL has all printed results in its report', async () => {
    const { code, done, passed, xml } = await endedBy('SIGKILL');
    expect(code).toBe(null);
    expect(passed).toEqual(done);
    expect(xml).toMatch(/tests="6"/);
  });
});
