/** Archives of traces. Without the test runner, for programs that replay them, too. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const unpacked = path.resolve(import.meta.dirname, '../build/recordings');

export const isFolder = (folder: string): boolean =>
  fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Unpacks an archive into build/recordings, once for each version of it: a folder is complete from its first
 * moment and never replaced, as other processes may do the same or be reading it.
 */
export function unpack(archive: string, name: string): string {
  const { mtimeMs, size } = fs.statSync(archive);
  const folder = path.join(
    unpacked,
    `${name}@${Math.trunc(mtimeMs / 1000).toString(36)}-${size.toString(36)}`,
  );
  if (isFolder(folder)) return folder;
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const beside = fs.mkdtempSync(path.join(unpacked, 'unpacking-'));
  const done = spawnSync('tar', ['xJf', archive, '-C', beside], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`tar xJf ${archive}: ${done.error?.message ?? done.stderr}`);
  try {
    fs.renameSync(beside, folder);
  } catch (error) {
    if (!isFolder(folder)) throw error; // else another process was first
    fs.rmSync(beside, { recursive: true });
  }
  return folder;
}
