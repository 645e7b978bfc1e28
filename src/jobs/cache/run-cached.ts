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
  /** Told once that nothing is kept any more, and why. */
  complain: (text: string) => void;
  /** Aborting ends the search for known results. */
  signal?: AbortSignal;
}

/**
 * Does only those jobs whose result is not known, and keeps what is new. Results in the order of the jobs.
 * @param cache null: everything is done
 * A cache that cannot be used is gone on without.
 * @param run does jobs, tells the listener of each that is done, and returns results in their order
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
    // Reading a trace takes its time: Ctrl-C is heard between two.
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
  /** What a cache cannot do is said once, and is nobody's failure. */
  const attempt = (act: () => void): void => {
    if (!keeps) return;
    try {
      act();
    } catch (error) {
      keeps = false;
      complain(`results are not kept: ${reasonOf(error)} (${cache.folder})`);
    }
  };
  const keeping: RunListener = {
    ...listener,
    finished: (job, result) => {
      const key = keys.get(job);
      // As they come: those of a run that is killed are known to the next one.
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
