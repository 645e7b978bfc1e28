import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sourceLines } from './sources.js';

let root: string;
let outside: string;

beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'sources-'));
  outside = fs.mkdtempSync(path.join(os.tmpdir(), 'outside-'));
  fs.mkdirSync(path.join(root, 'src'));
  fs.writeFileSync(path.join(root, 'src/tree.c'), 'one\ntwo\nthree\nfour\n');
  fs.writeFileSync(path.join(root, 'src/secret'), 'secret\n');
  fs.writeFileSync(path.join(outside, 'other.c'), 'outside\n');
  fs.symlinkSync(path.join(outside, 'other.c'), path.join(root, 'link.c'));
  fs.symlinkSync('src/secret', path.join(root, 'named.c'));
});
afterAll(() => [root, outside].forEach((folder) => fs.rmSync(folder, { recursive: true })));

it('finds a file by the end of its path', () => {
  const expected = [
    { number: 1, text: 'one', current: false },
    { number: 2, text: 'two', current: true },
    { number: 3, text: 'three', current: false },
    { number: 4, text: 'four', current: false },
  ];
  for (const name of ['src/tree.c', '/build/elsewhere/src/tree.c', './src/tree.c'])
    expect(sourceLines(root, name, 2), name).toEqual(expected);
});

it('reads nothing else', () => {
  for (const name of [
    'link.c',
    'named.c',
    'src/secret',
    path.join(outside, 'other.c'),
    '../src/tree.c',
    'src',
    '',
  ])
    expect(sourceLines(root, name, 1), name).toEqual([]);
  expect(sourceLines(root, 'src/tree.c', 99)).toEqual([]);
  expect(sourceLines(root, 'src/tree.c', 0)).toEqual([]);
});
