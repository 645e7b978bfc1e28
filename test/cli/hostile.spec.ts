import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from './run-cli.js';

const sample = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');
let folder: string;

beforeAll(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hostile-'))));
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** A copy of the sample, to be damaged. */
function copy(name: string): string {
  const trace = path.join(folder, name);
  fs.cpSync(sample, trace, { recursive: true });
  return trace;
}

function truncate(trace: string, file: string, share: number): void {
  const name = path.join(trace, file);
  fs.truncateSync(name, Math.floor(fs.statSync(name).size * share));
}

/** Rewrites a file of the trace. */
function edit(trace: string, file: string, change: (bytes: Buffer) => Buffer): void {
  const name = path.join(trace, file);
  fs.writeFileSync(name, change(fs.readFileSync(name)));
}

const damages: [string, (trace: string) => void, RegExp][] = [
  ['an empty version file', (trace) => truncate(trace, 'version', 0), /version/],
  [
    'a version that is not 85',
    (trace) => edit(trace, 'version', (bytes) => Buffer.concat([Buffer.from('84'), bytes.subarray(2)])),
    /84/,
  ],
  [
    'a version that is not a number',
    (trace) => edit(trace, 'version', () => Buffer.from('hello\n')),
    /version/,
  ],
  ['a truncated header', (trace) => truncate(trace, 'version', 0.5), /version|header/],
  ['truncated events', (trace) => truncate(trace, 'events', 0.6), /events/],
  ['no events', (trace) => fs.rmSync(path.join(trace, 'events')), /events/],
  ['truncated mmaps', (trace) => truncate(trace, 'mmaps', 0.6), /mmaps/],
  [
    'flipped bits in events',
    (trace) =>
      edit(
        trace,
        'events',
        (bytes) => bytes.map((byte, at) => (at > 40 && at % 97 === 0 ? byte ^ 0x10 : byte)) as Buffer,
      ),
    /events/,
  ],
];

describe.each(['info', 'dump', 'replay'])('%s of a damaged trace', (command) => {
  // Damage matters to a command only if it reads that part: info need not read every mapping.
  const concerned = damages.filter(([name]) => command !== 'info' || !/events|mmaps/.test(name));

  it.each(concerned)('with %s says so and exits 3', async (name, damage, message) => {
    const trace = copy(`${command} ${name}`);
    damage(trace);
    const result = await runCli(command, trace);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(/^revenant: /);
    expect(result.code).toBe(ExitCode.trace);
  });

  it('reports that there is no trace, and exits with 3', async () => {
    const missing = await runCli(command, path.join(folder, 'nowhere'));
    expect(missing).toMatchObject({ code: ExitCode.trace, stdout: '' });
    expect(missing.stderr).toContain('nowhere');
    const empty = fs.mkdtempSync(path.join(folder, 'empty-'));
    expect((await runCli(command, empty)).code).toBe(ExitCode.trace);
    const file = path.join(folder, `${command}.txt`);
    fs.writeFileSync(file, 'not a trace');
    expect((await runCli(command, file)).code).toBe(ExitCode.trace);
  });
});

describe('with --json', () => {
  it('the failure is a document on standard output', async () => {
    const result = await runCli('info', path.join(folder, 'nowhere'), '--json');
    expect(JSON.parse(result.stdout)).toMatchObject({ error: { code: 'E_TRACE_MISSING' } });
    expect(result.code).toBe(ExitCode.trace);
  });
});
