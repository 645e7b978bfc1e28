/** Which jobs a change touches, by git. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../../engine/base/errors.js';
import { parseManifest } from './read.js';
import { jobsOfManifest } from './resolve.js';
import type { Selection } from './select.js';
import type { JobSpec } from '../model/spec.js';

function git(folder: string, ...args: string[]): string {
  return execFileSync('git', ['-C', folder, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  });
}

/** Files that differ from `reference` or are new, absolute and without links. Throws E_USAGE. */
function changedFiles(folder: string, reference: string): { root: string; files: Set<string> } {
  try {
    const root = fs.realpathSync(git(folder, 'rev-parse', '--show-toplevel').trim());
    const commit = git(folder, 'rev-parse', '--verify', '--end-of-options', `${reference}^{commit}`).trim();
    const names = [
      ...git(root, 'diff', '--name-only', '--no-renames', '-z', commit, '--').split('\0'),
      ...git(root, 'ls-files', '--others', '--exclude-standard', '-z').split('\0'),
    ];
    return { root, files: new Set(names.filter((name) => name !== '').map((name) => path.join(root, name))) };
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? (error as Error).message);
    throw new RevenantError(
      'E_USAGE',
      `--changed-since ${reference}: ${said.trim().split('\n')[0]}`,
      'It takes a commit, branch or tag of the git repository that the traces are in.',
    );
  }
}

/**
 * The jobs whose trace, expected files or manifest entry differ from `reference`. Traces outside of
 * the repository count as changed. Throws E_USAGE: not a repository, no such commit.
 */
export function changedJobs({ manifest, jobs }: Selection, reference: string): JobSpec[] {
  const folder = manifest === null ? jobs[0].trace : path.dirname(manifest);
  const { root, files } = changedFiles(folder, reference);
  const before = manifest === null ? null : jobsBefore(manifest, root, reference);
  return jobs.filter((job) => {
    const trace = fs.realpathSync(job.trace);
    if (!trace.startsWith(root + path.sep)) return true;
    if ([...files].some((file) => file.startsWith(trace + path.sep))) return true;
    return manifest !== null && !before!.has(identity(job));
  });
}

/** A job without its line in the manifest. */
const identity = (job: JobSpec): string => JSON.stringify({ ...job, source: null });

/** The jobs of the manifest of `reference`; none if it had no manifest, or one of another format. */
function jobsBefore(manifest: string, root: string, reference: string): Set<string> {
  try {
    const name = path.relative(root, fs.realpathSync(manifest));
    const text = git(root, 'show', `${reference}:${name}`);
    const read = (file: string): Buffer =>
      execFileSync('git', ['-C', root, 'show', `${reference}:${path.relative(root, file)}`], {
        stdio: ['ignore', 'pipe', 'ignore'],
        maxBuffer: 1 << 28,
      });
    return new Set(jobsOfManifest(parseManifest(text, manifest), { readText: read }).map(identity));
  } catch {
    return new Set();
  }
}
