/** Where the checkpoint files of a trace are looked for, and written. */
import fs from 'node:fs';
import path from 'node:path';
import { cacheFolder } from './cache-folder.js';
import { CheckpointFiles, folderBeside, folderInCache } from '../engine/persist/archive.js';
import type { ReplaySession } from '../engine/replay/session.js';
import type { TraceReader } from '../engine/trace/reader.js';

export interface CheckpointOptions {
  /** A folder instead of the usual ones; false: none are used. */
  checkpoints?: string | false;
}

/** In the user's cache; null where the user has none. */
export function cachedFolder(trace: TraceReader): string | null {
  const cache = cacheFolder(process.env);
  return cache === null ? null : folderInCache(cache, trace);
}

export function checkpointFolders(trace: TraceReader, { checkpoints }: CheckpointOptions): string[] {
  if (checkpoints === false) return [];
  if (typeof checkpoints === 'string') return [checkpoints];
  return [folderBeside(trace.directory), cachedFolder(trace)].filter((folder) => folder !== null);
}

/** For a session of the trace. */
export const archiveOf =
  (trace: TraceReader, options: CheckpointOptions) =>
  (session: ReplaySession): CheckpointFiles =>
    new CheckpointFiles(session, checkpointFolders(trace, options));

/** Beside the trace where that can be written, else in the cache. */
export function folderToWrite(trace: TraceReader): string {
  const beside = folderBeside(trace.directory);
  const writable = fs.existsSync(beside) ? beside : path.dirname(beside);
  try {
    fs.accessSync(writable, fs.constants.W_OK);
    return beside;
  } catch {
    return cachedFolder(trace) ?? beside;
  }
}
