/** Puts jobs into queues and waits for their results. */
import { Job, Queue, QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { TraceReader } from '../../engine/trace/reader.js';
import type { JobResult } from '../model/result.js';
import { newResult, notRun, problem, stateOf } from '../model/result.js';
import { problemOf } from '../run/execute.js';
import type { RunListener } from '../run/pool.js';
import { reproduceCommand } from '../model/reproduce.js';
import type { JobSpec } from '../model/spec.js';
import { downloadArtifacts } from '../store/artifacts.js';
import type { Store } from '../store/store.js';
import { uploadTrace } from '../store/traces.js';
import type { JobNeeds, QueuedJob } from './protocol.js';
import { isPassing, isResult, Names, needsKey, needsOf } from './protocol.js';

/** Results that are not fetched are removed after this time. */
const KEEP_SECONDS = 24 * 3600;
/** Results are announced by events; polling finds those lost in a restart of Redis. */
const LOOK_MS = 2000;
/** How long an end may wait for Redis. */
const SHUTDOWN_GRACE_MS = 700;
/** Jobs per poll. */
const LOOK_AT = 500;

export interface SubmitOptions {
  redis: Redis;
  prefix: string;
  /** Unique; names the jobs. */
  run: string;
  store: Store | null;
  storeName: string | null;
  /** Folder for artifacts of failures, which are transferred through the store. */
  artifacts: string | null;
  listener: RunListener;
  /** Called with the reason for waiting. */
  say: (text: string) => void;
  signal: AbortSignal;
  /** Seconds to wait for a worker that can run a job, before the job is skipped. */
  patienceSeconds: number;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
}

interface Pending {
  spec: JobSpec;
  index: number;
  key: string;
}

/**
 * Results in the order of the jobs, each once. On abort its jobs are removed, if Redis answers
 * immediately, and unfinished ones are reported as not run.
 */
export async function submitJobs(jobs: readonly JobSpec[], options: SubmitOptions): Promise<JobResult[]> {
  const submission = new Submission(options);
  try {
    return await submission.run(jobs);
  } finally {
    await submission.close();
  }
}

class Submission {
  private readonly names: Names;
  private readonly queues = new Map<string, { queue: Queue; events: QueueEvents }>();
  /** BullMQ does not close connections that were passed to it. */
  private readonly connections: Redis[] = [];
  private readonly pending = new Map<string, Pending>();
  private readonly results: JobResult[] = [];
  private wake: () => void = () => {};
  /** When a key was first seen without a suitable worker. */
  private readonly unservable = new Map<string, number>();

  constructor(private readonly options: SubmitOptions) {
    this.names = new Names(options.prefix);
  }

  async run(jobs: readonly JobSpec[]): Promise<JobResult[]> {
    const { signal } = this.options;
    let stop: () => void = () => {};
    // Closing must not wait for an unreachable Redis.
    const aborted = new Promise<void>((resolve) => (stop = resolve));
    signal.addEventListener('abort', stop);
    const work = this.doAll(jobs);
    try {
      if (!signal.aborted) await Promise.race([work, aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
    if (signal.aborted) {
      work.catch(() => {});
      this.wake();
      await Promise.race([this.withdraw().catch(() => {}), sleep(SHUTDOWN_GRACE_MS)]);
    }
    return jobs.map((spec, index) => this.results[index] ?? notRun(spec));
  }

  private async doAll(jobs: readonly JobSpec[]): Promise<void> {
    const { signal } = this.options;
    for (const [index, spec] of jobs.entries()) {
      if (signal.aborted) return;
      await this.patiently(() => this.submit(spec, index));
    }
    while (this.pending.size > 0) {
      await this.pause(LOOK_MS);
      if (signal.aborted) return;
      await this.patiently(() => this.look());
      await this.patiently(() => this.giveUpHelpless());
    }
  }

  /** Requests to a Redis that is full, or starting, are repeated. */
  private async patiently(act: () => Promise<void>): Promise<void> {
    for (let said = false; !this.options.signal.aborted; said = true) {
      try {
        return await act();
      } catch (error) {
        if (!isPassing(error)) throw error;
        if (!said) this.options.say(`Redis refuses: ${(error as Error).message}; retrying`);
        await this.pause(LOOK_MS);
      }
    }
  }

  async close(): Promise<void> {
    const closing = [...this.queues.values()].flatMap(({ queue, events }) => [events.close(), queue.close()]);
    await Promise.race([Promise.allSettled(closing), sleep(SHUTDOWN_GRACE_MS)]);
    for (const connection of this.connections) connection.disconnect();
  }

  private async submit(spec: JobSpec, index: number): Promise<void> {
    const { run, store, storeName, redis, listener, artifacts } = this.options;
    let needs: JobNeeds;
    let digest: string | null = null;
    let likeDigest: string | null = null;
    try {
      // A trace whose recorder was killed has no header.
      const reader = TraceReader.open(spec.like ?? spec.trace);
      reader.close();
      needs = needsOf(spec, reader.header);
      if (store) {
        digest = await uploadTrace(store, spec.trace);
        if (spec.like !== null) likeDigest = await uploadTrace(store, spec.like);
      }
    } catch (error) {
      const result = newResult(spec);
      result.problems.push(problemOf(error));
      result.state = stateOf(result.problems);
      this.settle({ spec, index, key: '' }, result);
      return;
    }
    const key = needsKey(needs);
    await redis.hset(this.names.needs, key, JSON.stringify(needs));
    const id = `${run}-${index}`;
    this.pending.set(id, { spec, index, key });
    const keeps = artifacts !== null && digest !== null;
    const data: QueuedJob = {
      run,
      spec,
      digest,
      likeDigest,
      store: digest === null ? null : storeName,
      keeps,
    };
    const kept = { age: KEEP_SECONDS };
    // With a fixed id a command that is repeated after a lost connection does not add a second job.
    const job = { jobId: id, removeOnComplete: kept, removeOnFail: kept };
    await this.queue(key).queue.add(spec.name, data, job);
    listener.note(spec, 'queued');
  }

  private queue(key: string): { queue: Queue; events: QueueEvents } {
    let found = this.queues.get(key);
    if (!found) {
      const { redis, prefix } = this.options;
      const name = this.names.queue(key);
      const queue = new Queue(name, { connection: redis, prefix });
      const connection = redis.duplicate();
      this.connections.push(connection);
      const events = new QueueEvents(name, { connection, prefix });
      events.on('completed', () => this.wake());
      events.on('failed', () => this.wake());
      events.on('active', ({ jobId }) => {
        const pending = this.pending.get(jobId);
        if (pending) this.options.listener.started(pending.spec);
      });
      events.on('progress', ({ jobId, data }) => this.progress(jobId, data));
      // The connection's own listener has reported it.
      events.on('error', () => {});
      queue.on('error', () => {});
      found = { queue, events };
      this.queues.set(key, found);
    }
    return found;
  }

  private progress(id: string, data: unknown): void {
    const pending = this.pending.get(id);
    const at = (data ?? {}) as { frame?: number; frames?: number };
    if (!pending || typeof at.frame !== 'number' || typeof at.frames !== 'number') return;
    const { frame, frames } = at;
    this.options.listener.progress(pending.spec, { phase: 'replaying', frame, frames });
  }

  /** Fetches what is done. */
  private async look(): Promise<void> {
    for (const [id, pending] of [...this.pending].slice(0, LOOK_AT)) {
      const job = (await Job.fromId(this.queue(pending.key).queue, id)) as
        Job<QueuedJob, JobResult> | undefined;
      if (job?.finishedOn) {
        await this.take(id, pending, job);
        await job.remove();
      } else {
        // The next poll starts with other jobs.
        this.pending.delete(id);
        this.pending.set(id, pending);
        if (!job) await this.again(id, pending);
      }
    }
  }

  /**
   * A Redis that restarted without its last second of data may have lost a job: it is added again, under the same id.
   */
  private async again(id: string, pending: Pending): Promise<void> {
    this.pending.delete(id);
    await this.submit(pending.spec, pending.index);
  }

  private async take(id: string, pending: Pending, job: Job<QueuedJob, JobResult>): Promise<void> {
    this.pending.delete(id);
    const { spec } = pending;
    let result = job.returnvalue;
    if (job.failedReason || !isResult(result)) {
      const why = job.failedReason || (result ? 'this version cannot parse its result' : 'no result');
      result = newResult(spec);
      result.problems.push(problem('worker', `The queue gave the job up: ${why}.`));
      result.state = stateOf(result.problems);
    }
    const { store, artifacts } = this.options;
    if (store && artifacts !== null && result.artifacts.length > 0)
      result = await downloadArtifacts(store, artifacts, { ...result, name: spec.name });
    this.settle(pending, result);
  }

  private settle({ spec, index }: Pending, result: JobResult): void {
    const { name, trace, source } = spec;
    this.results[index] = { ...result, name, trace, source, reproduce: reproduceCommand(spec) };
    this.options.listener.finished(spec, this.results[index]);
  }

  /** Jobs that no worker could do for too long are skipped, with the reasons of each. */
  private async giveUpHelpless(): Promise<void> {
    const { now, patienceSeconds } = this.options;
    const workers = await this.workers();
    for (const key of new Set([...this.pending.values()].map((pending) => pending.key))) {
      const refusals = await this.options.redis.hgetall(this.names.refusals(key));
      const able = workers.some((id) => refusals[id] === undefined);
      if (able) {
        this.unservable.delete(key);
        continue;
      }
      const since = this.unservable.get(key) ?? now();
      if (!this.unservable.has(key)) this.options.say(waitingText(workers.length));
      this.unservable.set(key, since);
      if (now() - since < patienceSeconds * 1000) continue;
      const reasons = workers.map((id) => refusals[id]);
      await this.giveUp(key, reasons);
    }
  }

  private async giveUp(key: string, reasons: string[]): Promise<void> {
    for (const [id, pending] of [...this.pending]) {
      if (pending.key !== key) continue;
      this.pending.delete(id);
      const job = await Job.fromId(this.queue(key).queue, id);
      await job?.remove().catch(() => {});
      const result = newResult(pending.spec);
      const why =
        reasons.length > 0
          ? problem('machine', `No worker can replay this trace. ${[...new Set(reasons)].join(' ')}`)
          : problem('worker', 'No worker has connected.', {
              hint: 'Start one: revenant worker --queue URL.',
            });
      result.problems.push(why);
      result.state = stateOf(result.problems);
      this.settle(pending, result);
    }
  }

  private async workers(): Promise<string[]> {
    const pattern = this.names.worker('*');
    const prefix = this.names.worker('').length;
    const found: string[] = [];
    let cursor = '0';
    do {
      const [next, keys] = await this.options.redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1000);
      found.push(...keys.map((name) => name.slice(prefix)));
      cursor = next;
    } while (cursor !== '0');
    return [...new Set(found)];
  }

  /** Removes jobs that have not been started. */
  private async withdraw(): Promise<void> {
    for (const [id, { key }] of this.pending) {
      const job = await Job.fromId(this.queue(key).queue, id);
      await job?.remove().catch(() => {});
    }
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

const waitingText = (workers: number): string =>
  workers === 0
    ? 'waiting for a worker'
    : `none of ${workers} workers can run some jobs; waiting for another`;
