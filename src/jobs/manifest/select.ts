/** From the arguments of `revenant ci` to its jobs. */
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../../engine/base/errors.js';
import { jobsOfFolder, jobsOfManifest } from './resolve.js';
import { readManifest } from './read.js';
import type { JobSpec } from '../model/spec.js';

export const MANIFEST_NAMES = ['revenant.yaml', 'revenant.yml', 'revenant.json'];

/** Settings of the command line; they go before those of the manifest. */
export interface Overrides {
  machine?: JobSpec['machine'];
  cpu?: string;
  /** Bytes. */
  memory?: number;
  /** Seconds. */
  timeout?: number;
  /** Seconds. */
  stallLimit?: number;
  retries?: number;
  verifyTicks?: boolean;
  unpacked?: boolean;
  /** Folders. */
  files?: string[];
  clock?: JobSpec['clock'];
}

export interface Selection {
  /** The manifest, or null for a folder. Absolute. */
  manifest: string | null;
  jobs: JobSpec[];
}

/**
 * The jobs of a manifest or folder. Without a target: the manifest of the current folder.
 * @param complain called for folders that cannot be read Throws E_MANIFEST, E_TRACE_MISSING, E_TRACE_CORRUPT.
 */
export function selectJobs(
  target: string | undefined,
  overrides: Overrides,
  complain: (text: string) => void = () => {},
): Selection {
  const selection = select(target ?? '.', target === undefined, complain);
  for (const job of selection.jobs) override(job, overrides);
  return selection;
}

function select(target: string, manifestOnly: boolean, complain: (text: string) => void): Selection {
  const isFolder = fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder) return ofManifest(target, complain);
  const beside = MANIFEST_NAMES.map((name) => path.join(target, name)).find((file) => fs.existsSync(file));
  if (beside !== undefined) return ofManifest(beside, complain);
  if (!manifestOnly) return { manifest: null, jobs: jobsOfFolder(target, {}, complain) };
  throw new RevenantError(
    'E_MANIFEST',
    `There is no ${MANIFEST_NAMES.join(' or ')} here.`,
    'Name a manifest, or a folder of traces.',
  );
}

function ofManifest(file: string, complain: (text: string) => void): Selection {
  const read = readManifest(file);
  return { manifest: read.file, jobs: jobsOfManifest(read, { complain }) };
}

function override(job: JobSpec, overrides: Overrides): void {
  const { machine, cpu, memory, timeout, stallLimit, retries, verifyTicks, unpacked, files, clock } =
    overrides;
  job.machine = machine ?? job.machine;
  job.cpu = cpu ?? job.cpu;
  job.retries = retries ?? job.retries;
  job.verifyTicks = verifyTicks ?? job.verifyTicks;
  job.unpacked = unpacked ?? job.unpacked;
  job.files = files?.map((folder) => path.resolve(folder)) ?? job.files;
  job.clock = clock ?? job.clock;
  job.limits.memoryBytes = memory ?? job.limits.memoryBytes;
  job.limits.timeoutSeconds = timeout ?? job.limits.timeoutSeconds;
  job.limits.stallSeconds = stallLimit ?? job.limits.stallSeconds;
}

/** How much work a trace is: the bytes of its recorded events. */
export function weightOf(job: JobSpec): number {
  return fs.statSync(path.join(job.trace, 'events'), { throwIfNoEntry: false })?.size ?? 1;
}
