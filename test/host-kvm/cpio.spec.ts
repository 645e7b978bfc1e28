/** Archives as other programs read them. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { cpioArchive, DIRECTORY, EXECUTABLE, REGULAR, type CpioEntry } from './cpio.js';

const entry = (name: string, mode: number, text = ''): CpioEntry => ({ name, mode, data: Buffer.from(text) });
/** Lengths of names and of contents in every remainder of 4. */
const entries = [
  entry('init', EXECUTABLE, '#!/bin/sh\n'),
  entry('modules', DIRECTORY),
  entry('modules/a', REGULAR, 'a'),
  entry('modules/ab', REGULAR, 'ab'),
  entry('modules/abc', REGULAR, 'abc'),
  entry('modules/abcd', REGULAR, 'abcd'),
  entry('empty', REGULAR),
];
const archive = cpioArchive(entries);

/** The fields of the "newc" format, read by what its description says and not by how they were written. */
function* read(bytes: Buffer): Generator<CpioEntry> {
  const aligned = (at: number): number => Math.ceil(at / 4) * 4;
  for (let at = 0; ;) {
    expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number): number =>
      parseInt(bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = bytes.toString('utf8', at + 110, at + 110 + nameSize - 1);
    const data = aligned(at + 110 + nameSize);
    if (name === 'TRAILER!!!') return expect(aligned(data + size)).toBe(bytes.length);
    yield { name, mode, data: bytes.subarray(data, data + size) };
    at = aligned(data + size);
  }
}

it('has every entry in its place, and an end', () => {
  expect([...read(archive)].map((each) => ({ ...each, data: Buffer.from(each.data) }))).toEqual(entries);
});

it('is the same whenever it is made', () => {
  expect(cpioArchive(entries).equals(archive)).toBe(true);
});

const hasCpio = spawnSync('cpio', ['--version']).status === 0;

it.skipIf(!hasCpio)(`is unpacked by cpio${hasCpio ? '' : ' (skipped: it is not installed)'}`, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-spec-'));
  try {
    const done = spawnSync('cpio', ['-id', '--quiet'], { cwd: folder, input: archive, encoding: 'utf8' });
    expect([done.status, done.stderr]).toEqual([0, '']);
    for (const { name, mode, data } of entries) {
      const status = fs.statSync(path.join(folder, name));
      expect([name, status.mode & 0o170777]).toEqual([name, mode & 0o170777]);
      if (status.isFile()) expect(fs.readFileSync(path.join(folder, name)).equals(data)).toBe(true);
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
