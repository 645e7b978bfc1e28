/** Where checkpoint files of a trace are read from and written to. */
import fs from 'node:fs';
import path from 'node:path';
import { CheckpointFiles, folderBeside, folderInCache } from '../engine/persist/archive.js';
import type { ReplaySession } from '../engine/replay/session.js';
import type { TraceReader } from '../engine/trace/reader.js';

export interface CheckpointOptions {
  /** Replaces the default folders; false: none are used. */
  readonly checkpoints?: string | readonly string[] | false;
  /** The user's cache folder; absent or null: there is none. */
  readonly cache?: string | null;
}

/** In the user's cache; null if there is none. */
export const cachedFolder = (trace: TraceReader, cache: string | null | undefined): string | null =>
  cache ? folderInCache(cache, trace) : null;

/** Beside the trace and in the cache, unless others are given. */
export function checkpointFolders(trace: TraceReader, { checkpoints, cache }: CheckpointOptions): string[] {
  if (checkpoints === false) return [];
  if (checkpoints !== undefined) return [checkpoints].flat();
  return [folderBeside(trace.directory), cachedFolder(trace, cache)].filter((folder) => folder !== null);
}

/** For a session of the trace. */
export const archiveOf =
  (trace: TraceReader, options: CheckpointOptions) =>
  (session: ReplaySession): CheckpointFiles =>
    new CheckpointFiles(session, checkpointFolders(trace, options));

/** Beside the trace where that can be written, else in the cache. */
export function folderToWrite(trace: TraceReader, cache: string | null | undefined): string {
  const beside = folderBeside(trace.directory);
  const writable = fs.existsSync(beside) ? beside : path.dirname(beside);
  try {
    fs.accessSync(writable, fs.constants.W_OK);
    return beside;
  } catch {
    return cachedFolder(trace, cache) ?? beside;
  }
}
