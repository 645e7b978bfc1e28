/** Archives of traces, for specs and for programs that replay them. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { root } from './lib.mjs';

const unpacked = path.join(root, 'build/recordings');

export const isFolder = (folder) => fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Unpacks an archive into build/recordings, once for each version of it: a folder is complete from its first
 * moment and never replaced, as other processes may do the same or be reading it.
 * @param {string} archive
 * @param {string} name of the folder, below build/recordings
 * @returns {string}
 */
export function unpack(archive, name) {
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

/**
 * Unpacks groups of recordings, wherever they are: those of the tests, or of the larger collection.
 * @param {readonly string[]} groups
 * @returns {string[]} a folder for each that is here
 */
export function unpackGroups(groups) {
  const shared = path.resolve(root, process.env.REVENANT_SHARED ?? '../shared');
  const folders = [path.join(root, 'test/recordings'), path.join(shared, 'recordings')];
  return groups.flatMap((group) =>
    folders
      .map((folder) => path.join(folder, `${group}.tar.xz`))
      .filter((archive) => fs.existsSync(archive))
      .map((archive) => unpack(archive, `groups/${group}`)),
  );
}
