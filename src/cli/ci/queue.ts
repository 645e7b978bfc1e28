import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { RevenantError } from '../../engine/base/errors.js';
import type { JobResult } from '../../jobs/model/result.js';
import type { RunListener } from '../../jobs/run/pool.js';
import type { JobSpec } from '../../jobs/model/spec.js';

export interface QueueOptions {
  queuePrefix: string;
  queuePatience: number;
  store?: string;
  artifacts?: string;
}

export interface QueueEnvironment {
  listener: RunListener;
  signal: AbortSignal;
  say: (text: string) => void;
  now: () => number;
}

/**
 * Checks a store in advance. Throws E_USAGE for an invalid store, or for one without a queue; E_QUEUE where it cannot
 * be used.
 */
export async function checkStore(store: string, queue: string | undefined): Promise<void> {
  if (queue === undefined)
    throw new RevenantError('E_USAGE', '--store transfers traces to workers; it requires --queue.');
  const { requireStore } = await import('../../jobs/store/open.js');
  await requireStore(store);
}

/** Lets the workers of a queue do the jobs. The libraries for it are loaded only here. */
export async function runQueued(
  jobs: JobSpec[],
  url: string,
  options: QueueOptions,
  environment: QueueEnvironment,
): Promise<JobResult[]> {
  if (jobs.length === 0) return [];
  const [{ connect }, { submitJobs }, { openStore, storeName }] = await Promise.all([
    import('../../jobs/queue/connection.js'),
    import('../../jobs/queue/submit.js'),
    import('../../jobs/store/open.js'),
  ]);
  const { queuePrefix, queuePatience, store, artifacts } = options;
  const redis = await connect(url, environment.say);
  try {
    return await submitJobs(jobs, {
      redis,
      prefix: queuePrefix,
      run: randomUUID(),
      store: store === undefined ? null : await openStore(store),
      storeName: store === undefined ? null : storeName(store),
      artifacts: artifacts === undefined ? null : path.resolve(artifacts),
      patienceSeconds: queuePatience,
      ...environment,
    });
  } finally {
    redis.disconnect();
  }
}
