import { reasonOf } from '../../engine/base/system-errors.js';
import type { JobResult } from '../model/result.js';
import type { RunListener } from '../run/pool.js';
import type { JobSpec } from '../model/spec.js';
import type { ResultCache } from './cache.js';

/** What a run with a cache needs of its environment. */
export interface CachedRun {
  /** Everything is done, and kept. */
  fresh: boolean;
  listener: RunListener;
  /** Called once if results can no longer be stored, with the reason. */
  complain: (text: string) => void;
  /** Aborting ends the search for cached results. */
  signal?: AbortSignal;
}

/**
 * Runs only the jobs whose result is not cached, and stores new results. Results in the order of the jobs. If the
 * cache cannot be used, the run continues without it.
 * @param cache null: all jobs are run
 * @param run runs jobs, calls the listener with each result, and returns results in their order
 */
export async function runCached(
  jobs: readonly JobSpec[],
  cache: ResultCache | null,
  { fresh, listener, complain, signal }: CachedRun,
  run: (jobs: JobSpec[], listener: RunListener) => Promise<JobResult[]>,
): Promise<JobResult[]> {
  if (cache === null) return run([...jobs], listener);
  const results = new Map<JobSpec, JobResult>();
  const keys = new Map<JobSpec, string>();
  for (const job of jobs) {
    // Reading a trace takes long: Ctrl-C is checked between two.
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted) break;
    const key = keyOf(cache, job);
    if (key === null) continue;
    keys.set(job, key);
    const known = fresh ? null : cache.find(key, job);
    if (!known) continue;
    results.set(job, known);
    listener.finished(job, known);
  }
  const left = jobs.filter((job) => !results.has(job));
  let keeps = true;
  /** An error of the cache is reported once, and fails no job. */
  const attempt = (act: () => void): void => {
    if (!keeps) return;
    try {
      act();
    } catch (error) {
      keeps = false;
      complain(`results are not cached: ${reasonOf(error)} (${cache.folder})`);
    }
  };
  const keeping: RunListener = {
    ...listener,
    finished: (job, result) => {
      const key = keys.get(job);
      // Stored as they arrive: the next run finds those of a run that was killed.
      if (key !== undefined) attempt(() => cache.keep(key, result));
      listener.finished(job, result);
    },
  };
  (await run(left, keeping)).forEach((result, at) => results.set(left[at], result));
  attempt(() => cache.prune());
  return jobs.map((job) => results.get(job)!);
}

/** A trace that cannot be read is its job's failure, not ours. */
function keyOf(cache: ResultCache, job: JobSpec): string | null {
  try {
    return cache.key(job);
  } catch {
    return null;
  }
}
