import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shellStatus } from '../model/result.js';
import { findTraces, readExpectation, uniqueFolders } from './find-traces.js';

let folder: string;
const file = (name: string, text = ''): void => {
  fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  fs.writeFileSync(path.join(folder, name), text);
};

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'find-traces-'));
  file('b/one/version');
  file('b/one/nested/version');
  file('a/two/incomplete');
  file('a/none/readme');
  file('b/one/expected_stdout', 'hi\n');
  file('b/one/expected_status', '139\n');
  file('a/two/expected_status', 'many\n');
  fs.symlinkSync(folder, path.join(folder, 'a/loop'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('findTraces', () => {
  it('finds folders with version or incomplete, and does not search inside them or follow links to parents', () => {
    expect(findTraces(folder).map((name) => path.relative(folder, name))).toEqual(['a/two', 'b/one']);
  });

  it('takes a trace folder itself', () => {
    expect(findTraces(path.join(folder, 'b/one'))).toEqual([path.join(folder, 'b/one')]);
  });

  it('finds what only links lead to, and everything once, by its name without links', () => {
    const farm = fs.mkdtempSync(path.join(os.tmpdir(), 'farm-'));
    try {
      fs.mkdirSync(path.join(farm, 'real/t1'), { recursive: true });
      fs.writeFileSync(path.join(farm, 'real/t1/version'), '85');
      fs.symlinkSync('real/t1', path.join(farm, 'a-latest'));
      fs.symlinkSync(path.join(folder, 'b'), path.join(farm, 'elsewhere'));
      fs.symlinkSync('elsewhere/one', path.join(farm, 'again'));
      fs.symlinkSync('nowhere', path.join(farm, 'broken'));
      fs.symlinkSync('/', path.join(farm, 'everything'));
      expect(findTraces(farm).map((name) => path.relative(farm, name))).toEqual(['again', 'real/t1']);
      const both = [path.join(farm, 'again'), path.join(folder, 'b/one'), path.join(farm, 'real/t1')];
      expect(uniqueFolders(both)).toEqual([both[0], both[2]]);
    } finally {
      fs.rmSync(farm, { recursive: true });
    }
  });

  it.skipIf(process.geteuid?.() === 0)('skips unreadable folders (skipped as root, who can read all)', () => {
    fs.chmodSync(path.join(folder, 'a'), 0);
    try {
      const said: string[] = [];
      expect(findTraces(folder, (text) => said.push(text))).toEqual([path.join(folder, 'b/one')]);
      expect(said).toEqual([expect.stringMatching(/Cannot search .*\/a for traces: permission denied/)]);
    } finally {
      fs.chmodSync(path.join(folder, 'a'), 0o755);
    }
  });

  it('reports a missing folder', () => {
    expect(() => findTraces(path.join(folder, 'c'))).toThrow(/Cannot search .* for traces/);
  });
});

describe('readExpectation', () => {
  it('reads the files beside the trace', () => {
    expect(readExpectation(path.join(folder, 'b/one'))).toEqual({ stdout: Buffer.from('hi\n'), status: 139 });
    expect(readExpectation(path.join(folder, 'a/none'))).toEqual({ stdout: null, status: null });
  });

  it('refuses an invalid status', () => {
    expect(() => readExpectation(path.join(folder, 'a/two'))).toThrow(/expected_status/);
  });
});

describe('shellStatus', () => {
  it('is the exit status, or 128 + signal, whether a core was written or not', () => {
    expect([0, 3 << 8, 11, 11 | 0x80].map(shellStatus)).toEqual([0, 3, 139, 139]);
  });
});
