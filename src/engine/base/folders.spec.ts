import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder } from './folders.js';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'folders-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('makeFolder', () => {
  it('creates missing folders, and accepts existing ones', () => {
    const deep = path.join(folder, 'a/b/c');
    makeFolder(deep);
    makeFolder(deep);
    makeFolder(Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xff]), Buffer.from('/d')]));
    expect(fs.readdirSync(path.join(folder, 'a'), 'buffer').map(({ length }) => length)).toEqual([1, 1]);
    expect(fs.statSync(deep).isDirectory()).toBe(true);
  });

  it('ends where the kernel says that a folder is missing whose parent is there', () => {
    expect(() => makeFolder('/proc/nowhere/below/it')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('reports a path that is not a folder', () => {
    fs.writeFileSync(path.join(folder, 'file'), '');
    for (const name of ['file', 'file/below', 'file/below/it'])
      expect(() => makeFolder(path.join(folder, name))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  });
});
