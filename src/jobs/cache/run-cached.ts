import type { JobResult } from '../result.js';
import type { RunListener } from '../run/pool.js';
import type { JobSpec } from '../spec.js';
import type { ResultCache } from './cache.js';

/**
 * Does only those jobs whose result is not known, and keeps what is new. Results in the order of the jobs.
 * @param cache null: everything is done
 * @param fresh everything is done, and kept
 */
export async function runCached(
  jobs: readonly JobSpec[],
  cache: ResultCache | null,
  fresh: boolean,
  listener: RunListener,
  run: (jobs: JobSpec[]) => Promise<JobResult[]>,
): Promise<JobResult[]> {
  if (cache === null) return run([...jobs]);
  const results = new Map<JobSpec, JobResult>();
  const keys = new Map<JobSpec, string>();
  for (const job of jobs) {
    const key = keyOf(cache, job);
    if (key === null) continue;
    keys.set(job, key);
    const known = fresh ? null : cache.find(key, job);
    if (!known) continue;
    results.set(job, known);
    listener.finished(job, known);
  }
  const left = jobs.filter((job) => !results.has(job));
  (await run(left)).forEach((result, at) => {
    results.set(left[at], result);
    const key = keys.get(left[at]);
    if (key !== undefined) cache.keep(key, result);
  });
  cache.prune();
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
