/** Takes jobs from queues and runs each in its own process. */
import type { Job } from 'bullmq';
import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { printable } from '../../engine/base/names.js';
import type { JobResult } from '../model/result.js';
import { newResult, stateOf, wasInterrupted } from '../model/result.js';
import { problemOf } from '../run/execute.js';
import type { RunningJob } from '../run/process.js';
import type { StartJob } from '../run/retries.js';
import { retrying } from '../run/retries.js';
import type { JobSpec } from '../model/spec.js';
import type { JobNeeds, QueuedJob, WorkerAnnouncement } from './protocol.js';
import { isPassing, isQueuedJob, Names, parseNeeds, WORKER_TTL_SECONDS } from './protocol.js';

/** Intervals for finding queues and polling them. */
const IDLE_MS = 300;
const REFUSED_MS = 1000;
const ANNOUNCE_MS = (WORKER_TTL_SECONDS * 1000) / 3;
/** Workers that a job may lose before it fails. */
const MOST_LOST_WORKERS = 20;
const PROGRESS_MS = 1000;

export interface WorkerOptions {
  redis: Redis;
  prefix: string;
  about: WorkerAnnouncement;
  /** A job whose worker has not renewed its lock for this long is given to another. */
  lockSeconds: number;
  /** Why this worker cannot do a job with these needs; null: it can. */
  refuse: (needs: JobNeeds) => Promise<string | null> | string | null;
  /** Makes the trace a folder here, and the job one of this worker's. Throws RevenantError. */
  prepare: (job: QueuedJob) => Promise<JobSpec>;
  start: (job: QueuedJob) => StartJob;
  /** Handles files that the job's process left for this worker. Does not throw. */
  finish: (job: QueuedJob, result: JobResult) => Promise<JobResult>;
  say: (text: string) => void;
  now: () => number;
}

interface Running {
  job: Job<QueuedJob, JobResult>;
  token: string;
  /** Null while the trace is fetched. */
  process: RunningJob | null;
  done: Promise<void>;
}

export class QueueWorker {
  private readonly names: Names;
  private readonly queues = new Map<string, Worker<QueuedJob, JobResult>>();
  /** BullMQ leaves connections open that it was given. */
  private readonly connections: Redis[] = [];
  private readonly judged = new Set<string>();
  private readonly running = new Set<Running>();
  private stopping = false;
  private lastAnnounced = -Infinity;
  private tokens = 0;

  constructor(private readonly options: WorkerOptions) {
    this.names = new Names(options.prefix);
  }

  /** Works until `stop`. Waits while Redis is unreachable (restarts). */
  async work(): Promise<void> {
    let refused = '';
    while (!this.stopping) {
      try {
        await this.announce();
        await this.findQueues();
        if (!(await this.takeOne())) await pause(IDLE_MS);
        refused = '';
      } catch (error) {
        // Neither the contents of Redis nor its errors may end a worker.
        const { message } = error as Error;
        if (message !== refused) this.options.say(`Redis refuses: ${message}; retrying`);
        refused = message;
        await pause(REFUSED_MS);
      }
    }
    await Promise.all([...this.running].map(({ done }) => done));
    await this.options.redis.del(this.names.worker(this.options.about.id));
    for (const queue of this.queues.values()) await queue.close(true);
    for (const connection of this.connections) connection.disconnect();
  }

  /** Takes no more jobs; running ones are returned to the queue. */
  stop(): void {
    this.stopping = true;
    for (const { process } of this.running) process?.cancel();
  }

  private async announce(): Promise<void> {
    const { about, now, redis } = this.options;
    if (now() - this.lastAnnounced < ANNOUNCE_MS) return;
    this.lastAnnounced = now();
    await redis.set(this.names.worker(about.id), JSON.stringify(about), 'EX', WORKER_TTL_SECONDS);
  }

  /** Checks new requirements, and opens the queues of those that this worker meets. */
  private async findQueues(): Promise<void> {
    const { redis, prefix, lockSeconds, refuse, about, say } = this.options;
    for (const [key, text] of Object.entries(await redis.hgetall(this.names.needs))) {
      if (this.judged.has(key)) continue;
      this.judged.add(key);
      const needs = parseNeeds(text);
      if (needs === null) {
        say(`warning: set aside: invalid requirements in ${this.names.needs} for ${printable(key)} in Redis`);
        continue;
      }
      const reason = await refuse(needs);
      if (reason !== null) {
        await redis.hset(this.names.refusals(key), about.id, reason);
        say(`jobs that this worker cannot do are left to others: ${reason}`);
        continue;
      }
      const connection = redis.duplicate();
      this.connections.push(connection);
      const worker = new Worker<QueuedJob, JobResult>(this.names.queue(key), null, {
        connection,
        prefix,
        autorun: false,
        lockDuration: lockSeconds * 1000,
        stalledInterval: (lockSeconds * 1000) / 2,
        maxStalledCount: MOST_LOST_WORKERS,
        skipLockRenewal: true,
      });
      // Reported by the connection's own listener.
      worker.on('error', () => {});
      await worker.waitUntilReady();
      await worker.startStalledCheckTimer();
      this.queues.set(key, worker);
    }
  }

  /** Begins a job if there is one and a slot for it. */
  private async takeOne(): Promise<boolean> {
    if (this.running.size >= this.options.about.slots) return false;
    for (const [key, worker] of [...this.queues]) {
      const token = `${this.options.about.id}:${++this.tokens}`;
      const job = await worker.getNextJob(token, { block: false });
      if (!job) continue;
      // The next search begins with another queue.
      this.queues.delete(key);
      this.queues.set(key, worker);
      if (!isQueuedJob(job.data)) {
        this.options.say(`warning: set aside: this version cannot parse job ${printable(job.name)}`);
        await job.moveToFailed(new Error('the worker cannot parse it'), token, false);
        return true;
      }
      const running: Running = { job, token, process: null, done: Promise.resolve() };
      this.running.add(running);
      running.done = this.perform(running).finally(() => this.running.delete(running));
      return true;
    }
    return false;
  }

  /** Does a job and hands its result in. Never rejects: a job that is not ours any more is another worker's. */
  private async perform(running: Running): Promise<void> {
    const { job, token } = running;
    const { lockSeconds, say } = this.options;
    // Half of the lock's time: one renewal may be late.
    const renewal = setInterval(
      () => {
        job.extendLock(token, lockSeconds * 1000).catch(() => {
          say(`${job.name}: another worker has it now`);
          running.process?.cancel();
        });
      },
      (lockSeconds * 1000) / 3,
    );
    try {
      const result = await this.result(running);
      const givenBack = wasInterrupted(result);
      if (givenBack) await job.moveToWait(token);
      else await this.handIn(job, result, token);
      say(`${job.name}: ${givenBack ? 'returned to the queue' : result.state}`);
    } catch (error) {
      say(`${job.name}: the result is not wanted: ${(error as Error).message}`);
    } finally {
      clearInterval(renewal);
    }
  }

  /** A temporarily full Redis loses no result: the lock is renewed in the meantime. */
  private async handIn(job: Running['job'], result: JobResult, token: string): Promise<void> {
    for (let said = false; ; said = true) {
      try {
        await job.moveToCompleted(result, token, false);
        return;
      } catch (error) {
        if (!isPassing(error)) throw error;
        if (!said)
          this.options.say(`${job.name}: Redis refuses: ${(error as Error).message}; it is tried again`);
        await pause(REFUSED_MS);
      }
    }
  }

  private async result(running: Running): Promise<JobResult> {
    const { about, prepare, start, finish, now } = this.options;
    const { job } = running;
    let last = -Infinity;
    try {
      const spec = await prepare(job.data);
      running.process = retrying(start(job.data))(spec, {
        progress: ({ frame, frames }) => {
          if (now() - last < PROGRESS_MS) return;
          last = now();
          job.updateProgress({ frame, frames }).catch(() => {});
        },
        note() {},
      });
      if (this.stopping) running.process.cancel();
      const result = await finish(job.data, await running.process.result);
      return { ...result, worker: about.name };
    } catch (error) {
      const result = { ...newResult(job.data.spec), worker: about.name };
      result.problems.push(problemOf(error));
      result.state = stateOf(result.problems);
      return result;
    }
  }
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
