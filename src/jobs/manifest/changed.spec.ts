import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changedJobs } from './changed.js';
import { selectJobs } from './select.js';

let folder: string;
const write = (name: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  fs.writeFileSync(path.join(folder, name), text);
};
const git = (...args: string[]): void => {
  const who = ['-c', 'user.name=x', '-c', 'user.email=x@example.org'];
  execFileSync('git', ['-C', folder, ...who, ...args], { stdio: 'ignore' });
};
const changed = (target = folder): string[] => {
  const selection = selectJobs(target, {});
  return changedJobs(selection, 'HEAD').map(({ name }) => name);
};
const manifest = (status: number): string =>
  `version: 1\ntraces:\n  - { paths: a }\n  - { paths: b, expect: { status: ${status} } }\n  - { name: c, paths: c, expect: { stdout: { file: want } } }\n`;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'changed-'));
  for (const name of ['a', 'b', 'c']) write(`${name}/version`, name);
  write('want', 'x');
  write('revenant.yaml', manifest(1));
  git('init', '-q');
  git('add', '.');
  git('commit', '-qm', 'first');
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('--changed-since', () => {
  it('picks traces whose files, expected files or manifest entry differ', () => {
    expect(changed()).toEqual([]);
    write('a/data', 'new');
    expect(changed()).toEqual(['a']);
    // Comments and the order of lines do not count as changes; a status does.
    write('revenant.yaml', `# comment\n${manifest(2)}`);
    expect(changed()).toEqual(['a', 'b']);
    write('want', 'y');
    expect(changed()).toEqual(['a', 'b', 'c']);
    expect(changed(path.join(folder, 'a'))).toEqual(['a']);
    expect(changed(path.join(folder, 'b'))).toEqual([]);
  });

  it('reports a missing commit or repository', () => {
    const selection = selectJobs(folder, {});
    expect(() => changedJobs(selection, 'nowhere')).toThrow(/--changed-since nowhere: /);
    expect(() => changedJobs(selection, '--output=x')).toThrow(/--changed-since/);
  });
});
