/** Runs jobs in parallel, the longest first, and retries failed ones if requested. */
import { type JobResult, notRun } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { Progress } from './execute.js';
import type { RunningJob } from './process.js';
import type { StartJob } from './retries.js';
import { retrying } from './retries.js';

export interface RunListener {
  started(spec: JobSpec): void;
  progress(spec: JobSpec, at: Progress): void;
  note(spec: JobSpec, text: string): void;
  finished(spec: JobSpec, result: JobResult): void;
}

export interface PoolOptions {
  jobs: readonly JobSpec[];
  /** Jobs at the same time. */
  width: number;
  start: StartJob;
  /** How much work a job is, in any unit. */
  weigh: (spec: JobSpec) => number;
  listener: RunListener;
  /** Aborting ends running jobs and starts no more. */
  signal?: AbortSignal;
}

/**
 * Results in the order of the jobs. After an abort no worker is left, and unfinished jobs are reported as not run.
 */
export async function runPool(options: PoolOptions): Promise<JobResult[]> {
  const { jobs, width, signal } = options;
  const order = jobs
    .map((spec, index) => ({ spec, index, weight: options.weigh(spec) }))
    .sort((a, b) => b.weight - a.weight);
  const results: JobResult[] = jobs.map(notRun);
  const running = new Set<RunningJob>();
  const cancel = (): void => running.forEach((job) => job.cancel());
  signal?.addEventListener('abort', cancel);
  const runWorker = async (): Promise<void> => {
    for (let next = order.shift(); next !== undefined && !signal?.aborted; next = order.shift()) {
      results[next.index] = await runOne(next.spec, options, running);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.max(1, Math.min(width, jobs.length)) }, runWorker));
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
  return results;
}

async function runOne(
  spec: JobSpec,
  { listener, signal, start }: PoolOptions,
  running: Set<RunningJob>,
): Promise<JobResult> {
  listener.started(spec);
  const job = retrying(start)(spec, {
    progress: (at) => listener.progress(spec, at),
    note: (text) => listener.note(spec, text),
  });
  running.add(job);
  const result = await job.result;
  running.delete(job);
  if (!signal?.aborted) listener.finished(spec, result);
  return result;
}

/** What a worker takes besides guest memory: node, QEMU and the emulated kernel. */
const WORKER_OVERHEAD_BYTES = 512 * 1024 ** 2;
/** Default guest memory of a job: few recorded programs use more. */
const USUAL_GUEST_BYTES = 512 * 1024 ** 2;

/** A worker's processes and threads, and those of its machine. */
const PROCESSES_OF_A_JOB = 17;

/**
 * Number of parallel jobs, limited by processors and memory; at least one.
 * @param room for processes and threads (base/process-room.ts)
 */
export function poolWidth(
  cores: number,
  freeBytes: number,
  jobs: readonly JobSpec[],
  room = Infinity,
): number {
  const largest = Math.max(USUAL_GUEST_BYTES, ...jobs.map((job) => job.limits.memoryBytes ?? 0));
  const byMemory = Math.floor(freeBytes / (largest + WORKER_OVERHEAD_BYTES));
  const byProcesses = room === Infinity ? Infinity : Math.floor(room / PROCESSES_OF_A_JOB);
  return Math.max(1, Math.min(cores, byMemory, byProcesses, jobs.length));
}
