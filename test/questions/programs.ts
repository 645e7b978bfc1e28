/** The recordings of the programs, in recordings/. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Program } from './lists.js';

const root = path.resolve(import.meta.dirname, '../..');

/** The folder of a program's trace, unpacked once into build/. */
export const traceOf = ({ name }: Program): string =>
  path.join(unpack(path.join(import.meta.dirname, 'recordings', `${name}.tar.xz`), name), name);

function unpack(archive: string, name: string): string {
  const { mtimeMs, size } = fs.statSync(archive);
  const folder = path.join(root, 'build/recordings', `${name}@${Math.trunc(mtimeMs)}-${size}`);
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const beside = fs.mkdtempSync(`${folder}.`);
  const done = spawnSync('tar', ['xJf', archive, '-C', beside], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`tar xJf ${archive}: ${done.stderr}`);
  fs.renameSync(beside, folder);
  return folder;
}
