/** What submitters and workers share in Redis, besides BullMQ's own keys. */
import { MACHINE_CHOICES } from '../../machine/kinds.js';
import { createHash } from 'node:crypto';
import type { CpuidRecord, TraceHeader } from '../../engine/trace/records.js';
import type { JobResult } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';

/**
 * A job's requirements for a worker. Jobs with the same requirements are in one BullMQ queue, and a
 * worker takes jobs only from queues whose requirements it meets.
 */
export interface JobNeeds {
  machine: JobSpec['machine'];
  cpu: string | null;
  memoryBytes: number | null;
  processor: {
    /** Hexadecimal. */
    xcr0: string;
    cpuidRecords: CpuidRecord[];
    hasCpuidFaulting: boolean;
    maxVirtualAddressSize: number;
  };
}

/** A job in a queue. */
export interface QueuedJob {
  run: string;
  spec: JobSpec;
  /** Digest of the trace in the store; null: `spec.trace` is a path that the worker has, too. */
  digest: string | null;
  /** The same of `spec.like`. */
  likeDigest: string | null;
  /** As for `openStore`, on any machine; null: traces are read from the same path. */
  store: string | null;
  /** What is kept of a failure is wanted, by the store. */
  keeps: boolean;
}

/** Parses requirements from Redis, which are untrusted. Null: invalid, or of another version. */
export function parseNeeds(text: string): JobNeeds | null {
  try {
    const needs = JSON.parse(text) as JobNeeds;
    const { xcr0, cpuidRecords } = needs.processor;
    BigInt(xcr0);
    const isMachine = MACHINE_CHOICES.includes(needs.machine);
    const isMemory = needs.memoryBytes === null || typeof needs.memoryBytes === 'number';
    return isMachine && isMemory && Array.isArray(cpuidRecords) ? needs : null;
  } catch {
    return null;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** Whether a queue's job is one of ours, as this version writes them. */
export function isQueuedJob(data: unknown): data is QueuedJob {
  if (!isObject(data) || !isObject(data.spec)) return false;
  const { name, trace, expect, questions, limits } = data.spec;
  const isText = typeof name === 'string' && typeof trace === 'string';
  const { digest } = data;
  return (
    isText &&
    isObject(expect) &&
    Array.isArray(questions) &&
    isObject(limits) &&
    typeof limits.timeoutSeconds === 'number' &&
    (digest === null || typeof digest === 'string')
  );
}

/** Whether what a worker handed in is a result, as this version reads them. */
export const isResult = (value: unknown): value is JobResult =>
  isObject(value) &&
  typeof value.state === 'string' &&
  ['passed', 'failed', 'error', 'skipped'].includes(value.state) &&
  Array.isArray(value.problems) &&
  Array.isArray(value.questions) &&
  Array.isArray(value.stacks) &&
  Array.isArray(value.artifacts);

/** Answers of a Redis that is there but will not do it now: it is full, starts, or has no master. */
const NOT_NOW = /^(?:OOM|LOADING|BUSY|MISCONF|READONLY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS)\b/;
export const isPassing = (error: unknown): boolean =>
  error instanceof Error && NOT_NOW.test(error.message.replace(/^ERR (?:Error running script[^:]*: )?/, ''));

/** A worker's announcement. */
export interface WorkerAnnouncement {
  id: string;
  name: string;
  revenant: string;
  slots: number;
  memoryBytes: number | null;
  machines: { kind: string; description: string; xcr0: string; problem: string | null }[];
}

export const needsOf = (spec: JobSpec, header: TraceHeader): JobNeeds => ({
  machine: spec.machine,
  cpu: spec.cpu,
  memoryBytes: spec.limits.memoryBytes,
  processor: {
    xcr0: `0x${header.xcr0.toString(16)}`,
    cpuidRecords: header.cpuidRecords,
    hasCpuidFaulting: header.hasCpuidFaulting,
    maxVirtualAddressSize: header.maxVirtualAddressSize,
  },
});

/** A key for requirements; equal for equal ones. */
export const needsKey = (needs: JobNeeds): string =>
  createHash('sha256').update(JSON.stringify(needs)).digest('hex').slice(0, 16);

/** Of the keys and queues of one installation; several can share a Redis. */
export class Names {
  constructor(readonly prefix: string) {}

  queue(key: string): string {
    return `jobs-${key}`;
  }
  /** Hash: needs by key. */
  get needs(): string {
    return `${this.prefix}:needs`;
  }
  /** Key of a worker's announcement, which expires after the worker has ended. */
  worker(id: string): string {
    return `${this.prefix}:worker:${id}`;
  }
  /** Hash: why workers cannot serve the needs, by worker. */
  refusals(key: string): string {
    return `${this.prefix}:refusals:${key}`;
  }
}

/** A worker without an announcement for this long has ended. */
export const WORKER_TTL_SECONDS = 15;
