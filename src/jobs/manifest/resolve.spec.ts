import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../engine/base/errors.js';
import type { JobSpec } from '../model/spec.js';
import { parseManifest } from './read.js';
import { jobsOfFolder, jobsOfManifest } from './resolve.js';

let folder: string;
const file = (name: string, text = ''): void => {
  fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  fs.writeFileSync(path.join(folder, name), text);
};
const jobs = (text: string): JobSpec[] => jobsOfManifest(parseManifest(text, path.join(folder, 'm.yaml')));

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'resolve-'));
  file('zen2/hello/version');
  file('zen2/hello/expected_stdout', 'hi\n');
  file('zen2/hello/expected_status', '3\n');
  file('zen2/crash/version');
  file('intel/hello/version');
  file('large', 'x'.repeat(300_000));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('the jobs of a manifest', () => {
  it('are the traces that its globs name, or that lie below folders that they name', () => {
    const text = 'version: 1\ntraces:\n  - paths: ["*/hello", zen2]\n    exclude: intel/**\n';
    expect(jobs(text).map(({ name }) => name)).toEqual(['zen2/crash', 'zen2/hello']);
  });

  it('are those that links name, by a plain path and by a glob', () => {
    const elsewhere = fs.mkdtempSync(path.join(os.tmpdir(), 'resolve-linked-'));
    try {
      fs.mkdirSync(path.join(elsewhere, 'trace'));
      fs.writeFileSync(path.join(elsewhere, 'trace/version'), '');
      fs.mkdirSync(path.join(folder, 'links'));
      fs.symlinkSync(path.join(elsewhere, 'trace'), path.join(folder, 'links/one'));
      for (const paths of ['links/one', 'links/one/', '"links/*"'])
        expect(jobs(`version: 1\ntraces:\n  - paths: ${paths}\n`).map(({ name }) => name)).toEqual([
          'links/one',
        ]);
    } finally {
      fs.rmSync(path.join(folder, 'links'), { recursive: true });
      fs.rmSync(elsewhere, { recursive: true });
    }
  });

  it('take expectations from beside a trace unless the manifest has others', () => {
    const [plain] = jobs('version: 1\ntraces:\n  - paths: zen2/hello\n');
    expect(plain.expect).toMatchObject({ stdout: { bytes: 'aGkK' }, status: 3, until: null });
    const [said] = jobs(
      'version: 1\ntraces:\n  - paths: zen2/hello\n    expect: { stdout: ho, signal: SIGSEGV, reaches: [3, {frame: 4, event: write}] }\n',
    );
    expect(said.expect).toMatchObject({ stdout: { equals: 'ho' }, status: 139 });
    expect(said.expect.reaches).toEqual([
      { frame: 3, event: null },
      { frame: 4, event: 'write' },
    ]);
    const [until] = jobs(
      'version: 1\ntraces:\n  - paths: zen2/hello\n    expect: { replay: { until: 9 } }\n',
    );
    expect(until.expect).toMatchObject({ until: 9, stdout: null, status: null });
  });

  it('fail individually if files beside a trace cannot be read', () => {
    file('odd/a/version');
    file('odd/a/expected_status', 'many\n');
    file('odd/b/version');
    file('odd/b/expected_status', '4\n');
    const [a, b] = jobsOfFolder(path.join(folder, 'odd'));
    expect(a.expect.unreadable).toMatch(/a\/expected_status is not a number from 0 to 255/);
    expect(b.expect).toMatchObject({ status: 4 });
    expect(b.expect.unreadable).toBeUndefined();
    fs.rmSync(path.join(folder, 'odd'), { recursive: true });
  });

  it('may use files below folders, which are relative to the manifest, and clocks of this machine', () => {
    const text = 'version: 1\ndefaults: { clock: now, files: lib }\ntraces:\n';
    const [first, second] = jobs(
      `${text}  - { paths: zen2/hello, files: [one, /two], clock: recorded }\n  - { paths: zen2/crash }\n`,
    );
    expect(first).toMatchObject({ files: [path.join(folder, 'one'), '/two'], clock: 'recorded' });
    expect(second).toMatchObject({ files: [path.join(folder, 'lib')], clock: 'now' });
    expect(() => jobs('version: 1\ntraces:\n  - { paths: zen2/hello, clock: later }\n')).toThrow(/clock/);
  });

  it('have the settings of their entry, else the defaults', () => {
    const text = 'version: 1\ndefaults: { timeout: 2m, memory: 1G, retries: 1 }\ntraces:\n';
    const [first, second] = jobs(
      `${text}  - { paths: zen2/hello, timeout: 90s }\n  - { paths: zen2/crash, memory: 512M }\n`,
    );
    expect(first).toMatchObject({ retries: 1, limits: { timeoutSeconds: 90, memoryBytes: 1024 ** 3 } });
    expect(second.limits).toEqual({ timeoutSeconds: 120, memoryBytes: 512 * 1024 ** 2, stallSeconds: 60 });
    expect(second.source).toEqual({ file: path.join(folder, 'm.yaml'), line: 5 });
  });

  it('have names of their own', () => {
    const text = 'version: 1\ntraces:\n  - { name: a, paths: zen2/* }\n  - { name: b, paths: zen2/hello }\n';
    const again = `${text}  - { name: b, paths: zen2/hello }\n`;
    expect(jobs(again).map(({ name }) => name)).toEqual(['a: zen2/crash', 'a: zen2/hello', 'b', 'b #2']);
  });

  it('name large expected texts by their digest', () => {
    const [job] = jobs(
      'version: 1\ntraces:\n  - paths: zen2/hello\n    expect: { stdout: { file: large } }\n',
    );
    expect(job.expect.stdout?.digest).toMatchObject({ bytes: 300_000 });
  });

  it('must be some', () => {
    expect(() => jobs('version: 1\ntraces:\n  - paths: nothing/*\n')).toThrow(
      /m\.yaml:3:12: no trace matches nothing/,
    );
    expect(() =>
      jobs('version: 1\ntraces:\n  - paths: zen2/hello\n    expect: { signal: SIGFOO }\n'),
    ).toThrow(RevenantError);
  });

  it('carry questions', () => {
    const [job] = jobs(
      'version: 1\ntraces:\n  - paths: zen2/hello\n    questions:\n      - { at: exit, expression: f(1), equals: 3 }\n      - { at: { symbol: g, hit: 10 }, call: p(), output: { contains: x } }\n      - { at: { frame: 3 }, memory: n, matches: "^1" }\n',
    );
    expect(job.questions).toEqual([
      {
        name: 'f(1)',
        at: { kind: 'exit' },
        ask: { kind: 'expression', expression: 'f(1)' },
        test: { equals: '3' },
      },
      {
        name: 'p()',
        at: { kind: 'symbol', symbol: 'g', hit: 10 },
        ask: { kind: 'call', call: 'p()' },
        test: { contains: 'x' },
      },
      {
        name: 'i32 at n',
        at: { kind: 'frame', frame: 3 },
        ask: { kind: 'memory', address: 'n', type: 'i32' },
        test: { matches: '^1' },
      },
    ]);
  });
});

describe('the jobs of a folder', () => {
  it('are its traces', () => {
    expect(jobsOfFolder(folder).map(({ name }) => name)).toEqual(['intel/hello', 'zen2/crash', 'zen2/hello']);
    expect(() => jobsOfFolder(path.join(folder, 'zen2/hello/none'))).toThrow(RevenantError);
  });
});
