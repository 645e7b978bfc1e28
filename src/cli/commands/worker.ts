import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type ErrorCode, ExitCode, RevenantError } from '../../engine/base/errors.js';
import type { TraceHeader } from '../../engine/trace/records.js';
import { connect } from '../../jobs/queue/connection.js';
import type { JobNeeds, QueuedJob, WorkerAnnouncement } from '../../jobs/queue/protocol.js';
import { QueueWorker } from '../../jobs/queue/worker.js';
import { startJob } from '../../jobs/run/process.js';
import type { JobResult } from '../../jobs/model/result.js';
import type { JobSpec } from '../../jobs/model/spec.js';
import { uploadArtifacts } from '../../jobs/store/artifacts.js';
import { openStore } from '../../jobs/store/open.js';
import { downloadTrace } from '../../jobs/store/traces.js';
import { kindsOf, type MachineChoice, type MachineKind } from '../../machine/kinds.js';
import type { MachineCapabilities } from '../../machine/requirements.js';
import { judge, traceRequirements } from '../../machine/requirements.js';
import { surveyMachine } from '../../machine/survey.js';
import type { CommandIo } from '../output.js';
import { cacheFolder } from '../cache-folder.js';
import { printableLines } from '../printable.js';
import type { CiEnvironment } from '../ci/environment.js';
import { workerProgram } from './ci.js';

export interface WorkerCommandOptions {
  queue: string;
  queuePrefix: string;
  jobs?: number;
  name?: string;
  /** Most guest memory of a job, in bytes. */
  memory?: number;
  workerMemory?: number;
  machine: MachineChoice;
  lockSeconds: number;
  /** Overrides the job's store. */
  store?: string;
  cache?: string;
}

/** A machine here: its capabilities, or why there is none. */
interface Found {
  kind: MachineKind;
  capabilities: MachineCapabilities | null;
  problem: string | null;
  /** Error code of the problem, if any. */
  code?: ErrorCode;
}

/** `revenant worker --queue URL`: runs jobs until it is stopped. Returns the exit code. */
export async function workerCommand(
  options: WorkerCommandOptions,
  io: CommandIo,
  environment: CiEnvironment,
): Promise<number> {
  const say = (text: string): void => io.err(`revenant: ${printableLines(text)}\n`);
  const redis = await connect(options.queue, say);
  const machines = await findMachines(options.machine, say);
  if (machines.every(({ capabilities }) => capabilities === null)) {
    redis.disconnect();
    const problems = machines.map(({ kind, problem }) => `${kind}: ${problem ?? ''}`).join(' ');
    const isShort = machines.some(({ code }) => code === 'E_SYSTEM');
    throw new RevenantError(
      isShort ? 'E_SYSTEM' : 'E_MACHINE_START',
      `This worker has no machine. ${problems}`,
    );
  }
  // Artifacts of failures, until they are in the store.
  const kept = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-worker-'));
  const cache = options.cache ?? path.join(cacheFolder(environment.variables) ?? kept, 'traces');
  const about = announcement(options, machines, environment.version);
  const worker = new QueueWorker({
    redis,
    prefix: options.queuePrefix,
    about,
    lockSeconds: options.lockSeconds,
    refuse: (needs) => refusal(needs, machines, options),
    prepare: (job) => prepare(job, options, cache),
    start:
      ({ keeps }) =>
      (spec, listener) =>
        startJob({
          program: workerProgram(options.workerMemory),
          spec,
          artifacts: keeps ? path.join(kept, randomUUID()) : null,
          listener,
          now: () => io.now(),
        }),
    finish: ({ store }, result) => finish(result, options.store ?? store),
    say,
    now: () => io.now(),
  });
  const stop = (): void => {
    say('stopping; running jobs are returned to the queue');
    worker.stop();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  say(`worker ${about.name} is ready, ${about.slots} jobs at a time`);
  await worker.work().finally(() => fs.rmSync(kept, { recursive: true, force: true }));
  redis.disconnect();
  return ExitCode.ok;
}

async function findMachines(wanted: MachineChoice, say: (text: string) => void): Promise<Found[]> {
  const found: Found[] = [];
  for (const kind of kindsOf(wanted)) {
    const machine = await findMachine(kind, say);
    say(`${kind}: ${machine.capabilities?.description ?? machine.problem ?? ''}`);
    found.push(machine);
  }
  return found;
}

async function findMachine(kind: MachineKind, say: (text: string) => void): Promise<Found> {
  const { problem, code, examination } = await surveyMachine(kind, { onStarting: say });
  if (!examination || problem !== null) return { kind, capabilities: null, problem, code };
  const { passed, description, xcr0, cpuid, completes } = examination;
  if (!passed)
    return {
      kind,
      capabilities: null,
      problem: `${description} does not present the requested processor to programs.`,
    };
  return {
    kind,
    capabilities: { kind, description, xcr0, cpuid, completes, probeReport: null },
    problem: null,
  };
}

function announcement(
  options: WorkerCommandOptions,
  machines: Found[],
  revenant: string,
): WorkerAnnouncement {
  const id = randomUUID();
  return {
    id,
    name: options.name ?? `${os.hostname()}-${process.pid}`,
    revenant,
    slots: options.jobs ?? os.availableParallelism(),
    memoryBytes: options.memory ?? null,
    machines: machines.map(({ kind, capabilities, problem }) => ({
      kind,
      description: capabilities?.description ?? '',
      xcr0: `0x${(capabilities?.xcr0 ?? 0n).toString(16)}`,
      problem,
    })),
  };
}

/** Why no machine here serves these needs; null: one does, as far as can be told before trying. */
function refusal(needs: JobNeeds, machines: Found[], options: WorkerCommandOptions): string | null {
  const most = options.memory ?? Infinity;
  if (needs.memoryBytes !== null && needs.memoryBytes > most)
    return `The job may need ${needs.memoryBytes} bytes of guest memory, the worker gives ${most}.`;
  const reasons: string[] = [];
  for (const { kind, capabilities, problem } of machines) {
    if (needs.machine !== 'auto' && needs.machine !== kind) continue;
    if (!capabilities) {
      reasons.push(problem ?? '');
      continue;
    }
    // Another processor of the emulator: known only when it runs.
    if (kind === 'emulated' && needs.cpu !== null) return null;
    const compatibility = judge(traceRequirements(headerOf(needs)), capabilities);
    if (compatibility.ok) return null;
    reasons.push(...compatibility.reasons);
  }
  return reasons.length > 0 ? reasons.join(' ') : `The worker has no ${needs.machine} machine.`;
}

/** As much of a header as decides what machine a trace needs. */
const headerOf = ({ processor }: JobNeeds): TraceHeader =>
  ({ ...processor, xcr0: BigInt(processor.xcr0) }) as unknown as TraceHeader;

/**
 * The trace as a folder here, and this worker's limits.
 * @param cache where fetched traces are kept
 */
async function prepare(
  { spec, digest, likeDigest, store }: QueuedJob,
  options: WorkerCommandOptions,
  cache: string,
): Promise<JobSpec> {
  const memoryBytes = Math.min(spec.limits.memoryBytes ?? Infinity, options.memory ?? Infinity);
  const limits = { ...spec.limits, memoryBytes: memoryBytes === Infinity ? null : memoryBytes };
  if (digest === null) {
    const missing = [spec.trace, ...(spec.like === null ? [] : [spec.like])].find(
      (name) => !fs.existsSync(name),
    );
    if (missing === undefined) return { ...spec, limits };
    throw new RevenantError(
      'E_TRACE_MISSING',
      `The worker ${os.hostname()} has no ${missing}.`,
      'Share the folder with workers, or transfer traces: revenant ci --queue URL --store STORE.',
    );
  }
  const opened = await openStore(options.store ?? store ?? '');
  const trace = await downloadTrace(opened, digest, cache);
  const like = likeDigest === null ? null : await downloadTrace(opened, likeDigest, cache);
  return { ...spec, trace, like, limits };
}

/** Artifacts of a failure are transferred through the store. */
async function finish(result: JobResult, store: string | null): Promise<JobResult> {
  if (result.artifacts.length === 0 || store === null) return { ...result, artifacts: [] };
  try {
    return await uploadArtifacts(await openStore(store), result);
  } catch (error) {
    return { ...result, artifacts: [], log: `${result.log}No store: ${(error as Error).message}\n` };
  } finally {
    for (const { path: file } of result.artifacts) fs.rmSync(file, { force: true });
  }
}
