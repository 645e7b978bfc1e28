import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { MACHINE } from '../machines.js';
import { flipRegister } from '../trace/flip-register.js';
import { runRevenant } from './run-revenant.js';

const traces = path.resolve(import.meta.dirname, '../../traces');
const WRITE = 1;
/** A trace that the machine cannot carry. */
const UNSUITABLE = {
  emulated: `paths: ${path.join(traces, 'zen2/xcr0probe')}, cpu: Nehalem`,
  process: `paths: ${path.join(traces, 'haswell/ldt')}`,
};
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);
const read = (name: string): string => fs.readFileSync(inFolder(name), 'utf8');

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ci-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('revenant ci', () => {
  it('replays a folder of traces and writes every report', async () => {
    const { code, stdout, stderr } = await runRevenant([
      ...['ci', path.join(traces, 'zen2'), '--machine', MACHINE, '--json'],
      ...['--only', '*cr*', '--junit', inFolder('junit.xml'), '--html', inFolder('report.html')],
    ]);
    expect(stderr).toMatch(/\[1\/2\] pass {2}\S+ \(/);
    expect(stderr).toMatch(/revenant: 2 passed in /);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as RunReport;
    expect(report.counts).toMatchObject({ passed: 2, total: 2 });
    expect(report.results.map(({ name }) => name)).toEqual(['crash', 'xcr0probe']);
    expect(report.results[0]).toMatchObject({ frames: 125, status: 139, attempts: 1 });
    expect(read('junit.xml')).toMatch(/tests="2" failures="0" errors="0" skipped="0"/);
    expect(read('report.html')).toMatch(/^<!doctype html>/);
  });

  it('fails where a recorded register is another one, and says all about it', async () => {
    const frame = flipRegister(path.join(traces, 'skylake-pku/tree'), inFolder('set/flipped'), WRITE, 2);
    const { code, stderr } = await runRevenant(
      [
        ...['ci', inFolder('set'), '--machine', MACHINE, '--artifacts', inFolder('artifacts')],
        ...['--junit', inFolder('flipped.xml'), '--html', inFolder('flipped.html')],
      ],
      { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: inFolder('summary.md') },
    );
    expect(code).toBe(ExitCode.diverged);
    expect(stderr).toMatch(new RegExp(`FAIL {2}flipped .*diverged at frame ${frame}`));
    expect(stderr).toMatch(new RegExp(`\\n::error title=flipped::The replay diverged at frame ${frame}`));
    expect(read('summary.md')).toMatch(/\| flipped \| failed \|/);
    expect(read('flipped.xml')).toMatch(
      /<failure message="[^"]*" type="E_DIVERGED">[^<]*\* rdx +[0-9a-f]{16} +[0-9a-f]{16}/,
    );
    expect(read('artifacts/flipped/report.txt')).toMatch(/\* rdx +[0-9a-f]{16} +[0-9a-f]{16}/);
    expect(read('flipped.html')).toMatch(
      /"name":"rdx","expected":"0x[0-9a-f]+","found":"0x[0-9a-f]+","differs":true/,
    );
    expect(read('artifacts/flipped/worker.log')).toMatch(/"machine chosen"/);
    const schema = path.resolve(import.meta.dirname, 'junit.xsd');
    const lint = spawnSync('xmllint', ['--noout', '--schema', schema, inFolder('flipped.xml')]);
    if (!lint.error) expect(lint.status).toBe(0);
  });

  it('keeps a checkpoint before the divergence, where gdb begins', async () => {
    const report = read('artifacts/flipped/report.txt');
    const [, frame] = /diverged at frame (\d+)/.exec(report)!;
    const [, line] = /^To debug it, in the folder of artifacts: revenant (gdb .*)$/m.exec(report)!;
    const commands = ['when', 'info registers rdx', 'info symbol tree_sum', 'reverse-stepi', 'continue'];
    const { stdout, stderr } = await runRevenant(
      [...line.split(' '), '--', '-batch', '-nx', ...commands.flatMap((command) => ['-ex', command])],
      {},
      inFolder('artifacts'),
    );
    const said = stdout + stderr;
    expect(said).toMatch(new RegExp(`^Completed event: ${Number(frame) - 1}$`, 'm'));
    expect(said).toMatch(/^rdx +0x/m);
    expect(said).toMatch(/^tree_sum in section \.text/m);
    expect(said).toMatch(new RegExp(`diverged at frame ${frame}`));
  });

  it('distinguishes lack of memory and unsuitable machines from failures', async () => {
    const manifest = [
      'version: 1',
      'traces:',
      `  - { name: small, paths: ${path.join(traces, 'haswell/faults')}, memory: 4M }`,
      `  - { name: unsuitable, ${UNSUITABLE[MACHINE]} }`,
      '',
    ].join('\n');
    fs.writeFileSync(inFolder('limits.yaml'), manifest);
    const options = ['ci', inFolder('limits.yaml'), '--machine', MACHINE];
    const both = await runRevenant([...options, '--json', '--jobs', '1', '--quiet']);
    const report = JSON.parse(both.stdout) as RunReport;
    expect(both.code).toBe(ExitCode.unjudged);
    expect(report.results.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'small error',
      'unsuitable skipped',
    ]);
    expect(report.results[0].problems[0]).toMatchObject({ kind: 'memory', code: 'E_MEMORY_LIMIT' });
    expect(report.results[1].problems[0].message).toMatch(
      /^The recording has XSAVE and XGETBV, which .* does not have|a segment of its own/,
    );
    const strict = await runRevenant([...options, '--only', 'unsuitable', '--strict']);
    expect(strict.code).toBe(ExitCode.skipped);
    expect(strict.stderr).toMatch(/skip {2}unsuitable .*\n[^]*--strict: skipped traces are failures/);
  });

  it('refuses a bad manifest with its place', async () => {
    fs.writeFileSync(inFolder('bad.yaml'), 'version: 1\ntraces:\n  - path: x\n');
    const { code, stderr } = await runRevenant(['ci', inFolder('bad.yaml')]);
    expect(code).toBe(ExitCode.manifest);
    expect(stderr).toMatch(/bad\.yaml:3:5: traces\[0\]: unknown property "path"/);
  });
});
