/** Traces in a store: each file once, by its SHA-256, and a list of them by the digest of the whole. */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { makeFolder } from '../../engine/base/folders.js';
import { RevenantError } from '../../engine/base/errors.js';
import type { FileDigest } from '../cache/digest.js';
import { nameBytes, printable } from '../../engine/base/names.js';
import { fileDigest, folderDigest, listDigest } from '../cache/digest.js';
import type { Store } from './store.js';

/** Key of a file by its content. */
export const blob = (sha256: string): string => `blobs/${sha256.slice(0, 2)}/${sha256}`;
const list = (digest: string): string => `traces/${digest}.json`;

/**
 * Uploads files that the store does not have; libraries that many traces contain are uploaded once. Returns the trace's
 * digest.
 */
export async function uploadTrace(store: Store, folder: string): Promise<string> {
  const files = folderDigest(folder);
  const digest = listDigest(files);
  if (await store.has(list(digest))) return digest;
  for (const { name, sha256 } of files) {
    if (!(await store.has(blob(sha256)))) await putFile(store, blob(sha256), path.join(folder, name));
  }
  const temporary = path.join(os.tmpdir(), `revenant-${randomUUID()}`);
  try {
    fs.writeFileSync(temporary, JSON.stringify(files));
    // Last, so that a list never refers to a missing object.
    await store.put(list(digest), temporary);
  } finally {
    fs.rmSync(temporary, { force: true });
  }
  return digest;
}

/** By descriptor: a store takes paths as text, and a name may not be UTF-8. */
async function putFile(store: Store, key: string, file: string): Promise<void> {
  const fd = fs.openSync(nameBytes(file), 'r');
  try {
    await store.put(key, `/proc/self/fd/${fd}`);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Downloads the trace into a folder below `cache`, unless it is there. Returns the folder. Throws
 * E_TRACE_MISSING (not in the store), E_TRACE_CORRUPT (content does not match its digest), E_TRACE_PATH.
 */
export async function downloadTrace(store: Store, digest: string, cache: string): Promise<string> {
  const folder = path.join(cache, digest);
  if (fs.existsSync(folder)) return folder;
  const unfinished = path.join(cache, `unfinished-${randomUUID()}`);
  makeFolder(unfinished);
  try {
    for (const file of await readList(store, digest, unfinished)) await downloadFile(store, file, unfinished);
    fs.renameSync(unfinished, folder);
  } catch (error) {
    fs.rmSync(unfinished, { recursive: true, force: true });
    // Another worker was faster.
    if (fs.existsSync(folder)) return folder;
    throw error;
  }
  return folder;
}

async function readList(store: Store, digest: string, folder: string): Promise<FileDigest[]> {
  const file = path.join(folder, '.list');
  try {
    await store.get(list(digest), file);
  } catch (error) {
    throw new RevenantError(
      'E_TRACE_MISSING',
      `The store has no trace ${digest}: ${(error as Error).message}.`,
    );
  }
  const files = JSON.parse(fs.readFileSync(file, 'utf8')) as FileDigest[];
  fs.rmSync(file);
  if (listDigest(files) !== digest)
    throw new RevenantError('E_TRACE_CORRUPT', `The store's list of trace ${digest} is that of another.`);
  return files;
}

async function downloadFile(store: Store, { name, sha256 }: FileDigest, folder: string): Promise<void> {
  const target = path.resolve(folder, name);
  if (!target.startsWith(folder + path.sep) || !/^[0-9a-f]{64}$/.test(sha256))
    throw new RevenantError('E_TRACE_PATH', `A trace in the store has a file ${JSON.stringify(name)}.`);
  const arriving = path.join(folder, '.arriving');
  await store.get(blob(sha256), arriving);
  if (fileDigest(arriving).sha256 !== sha256)
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `The store's copy of ${printable(name)} is damaged (${sha256}).`,
    );
  makeFolder(nameBytes(path.dirname(target)));
  fs.renameSync(arriving, nameBytes(target));
}
