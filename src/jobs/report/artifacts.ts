/** What is kept of a job that did not pass: a folder with its log, its report and what the program printed. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { makeFolder } from '../../engine/base/folders.js';
import { resultText } from './problem-text.js';
import type { JobResult } from '../model/result.js';
import { debugCommand } from '../model/reproduce.js';

/** File systems take 255 bytes, some less. */
const MOST_NAME = 120;

/**
 * A job's folder: its name with unsafe characters replaced, truncated, and unique for each name.
 */
export function artifactFolder(root: string, name: string): string {
  const safe = name.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '_') || '_';
  if (safe === name && safe.length <= MOST_NAME) return path.join(root, name);
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return path.join(root, `${safe.slice(0, MOST_NAME)}-${digest}`);
}

/** The checkpoint before a job's divergence. */
export const checkpointFile = (root: string, name: string): string =>
  path.join(artifactFolder(root, name), 'before-divergence.checkpoint');

/**
 * Writes the files, and names them in the result relative to `root`. Nothing for results that passed or were
 * skipped. Files that a worker has already put there are kept.
 */
export function keepArtifacts(root: string, result: JobResult): void {
  const kept = result.artifacts.map(({ kind, path: file }) => ({ kind, path: path.relative(root, file) }));
  // That of an earlier attempt, or run, is of another failure.
  if (kept.length === 0) fs.rmSync(checkpointFile(root, result.name), { force: true });
  if (result.state === 'passed' || result.state === 'skipped') return;
  result.artifacts = kept;
  result.debug = debugCommand(result);
  const folder = artifactFolder(root, result.name);
  makeFolder(folder);
  const write = (kind: string, name: string, content: string | Uint8Array): void => {
    fs.writeFileSync(path.join(folder, name), content);
    result.artifacts.push({ kind, path: path.relative(root, path.join(folder, name)) });
  };
  write('report', 'report.txt', `${resultText(result)}\n`);
  const { timeline: _, log: __, ...rest } = result;
  write('result', 'result.json', `${JSON.stringify(rest, null, 2)}\n`);
  if (result.log !== '') write('log', 'worker.log', result.log);
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = result[name];
    if (stream && stream.bytes > 0) write(name, name, Buffer.from(stream.base64, 'base64'));
  }
}
