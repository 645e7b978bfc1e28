/** The recordings of the programs: those beside this file, and others of the larger collection. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Program } from './lists.js';

const root = path.resolve(import.meta.dirname, '../..');
const shared = path.resolve(root, process.env.REVENANT_SHARED ?? '../shared');

/** The folder of a program's trace, unpacked once, or null where it is not on this machine. */
export function traceOf({ name }: Program): string | null {
  const own = path.join(import.meta.dirname, 'recordings', `${name}.tar.xz`);
  const group = path.join(shared, 'recordings/questions.tar.xz');
  if (fs.existsSync(own)) return path.join(unpack(own, name), name);
  return fs.existsSync(group) ? path.join(unpack(group, 'questions'), 'questions', name) : null;
}

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
