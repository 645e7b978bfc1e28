import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { keepArtifacts } from '../../jobs/artifacts.js';
import { runCached } from '../../jobs/cache/run-cached.js';
import { changedJobs } from '../../jobs/changed.js';
import type { JobResult } from '../../jobs/result.js';
import { headline } from '../../jobs/report/problem-text.js';
import type { RunReport } from '../../jobs/report/run-report.js';
import { countsText, countStates, slowest } from '../../jobs/report/run-report.js';
import type { RunListener } from '../../jobs/run/pool.js';
import { poolWidth, runPool } from '../../jobs/run/pool.js';
import type { WorkerProgram } from '../../jobs/run/process.js';
import { startJob } from '../../jobs/run/process.js';
import type { Overrides } from '../../jobs/select.js';
import { selectJobs, weightOf } from '../../jobs/select.js';
import type { JobSpec } from '../../jobs/spec.js';
import { matches } from '../args.js';
import { openCache } from '../ci-cache.js';
import type { CiEnvironment } from '../ci-environment.js';
import { CiProgress, duration } from '../ci-progress.js';
import { runQueued } from '../ci-queue.js';
import { writeReports } from '../ci-reports.js';
import type { CommandIo } from '../output.js';
import { printable } from '../printable.js';

export interface CiCommandOptions extends Overrides {
  only?: string;
  jobs?: number;
  workerMemory?: number;
  strict?: boolean;
  junit?: string;
  html?: string;
  artifacts?: string;
  json?: boolean;
  quiet?: boolean;
  list?: boolean;
  /** False: neither looked into nor written. */
  cache?: string | false;
  fresh?: boolean;
  changedSince?: string;
  /** URL of a Redis: workers that listen there do the jobs. */
  queue?: string;
  queuePrefix: string;
  queuePatience: number;
  store?: string;
}

const MIB = 1024 ** 2;
/** The launcher builds what is out of date, so that a worker never is of another version than its parent. */
const LAUNCHER = fileURLToPath(new URL('../../../bin/revenant', import.meta.url));
const SLOWEST = 5;

/** What worker processes run. @param bytes most memory of their own */
export function workerProgram(bytes: number | undefined): WorkerProgram {
  return { args: [LAUNCHER, 'job'], heapMiB: bytes === undefined ? undefined : Math.ceil(bytes / MIB) };
}

/** `revenant ci [MANIFEST|FOLDER]`. Returns the exit code. */
export async function ciCommand(
  target: string | undefined,
  options: CiCommandOptions,
  io: CommandIo,
  surroundings: CiEnvironment,
): Promise<number> {
  const { wanted, unchanged } = choose(target, options);
  if (options.list) {
    io.out(wanted.map(({ name, trace }) => `${printable(name)}\t${printable(trace)}\n`).join(''));
    return ExitCode.ok;
  }
  const started = new Date(surroundings.date()).toISOString();
  const begun = io.now();
  const width =
    options.queue !== undefined
      ? 0
      : (options.jobs ?? poolWidth(os.availableParallelism(), os.freemem(), wanted));
  const results = await run(wanted, width, options, io, surroundings);
  const report: RunReport = {
    version: 1,
    revenant: surroundings.version,
    started,
    seconds: (io.now() - begun) / 1000,
    target: target ?? '.',
    strict: Boolean(options.strict),
    host: hostFacts(),
    parallel: width,
    counts: countStates(results),
    unchanged,
    results,
  };
  writeReports(report, options, io, surroundings.environment);
  if (!options.quiet) io.err(ending(report));
  return exitCodeOf(report);
}

/** The traces to replay, and how many `--changed-since` leaves out. Throws where nothing is left to choose from. */
function choose(
  target: string | undefined,
  options: CiCommandOptions,
): { wanted: JobSpec[]; unchanged: number } {
  const selection = selectJobs(target, options);
  const { only, changedSince } = options;
  const named = selection.jobs.filter(({ name }) => only === undefined || matches(only, name));
  if (named.length === 0)
    throw new RevenantError('E_TRACE_MISSING', `No trace's name matches ${String(only)}.`);
  if (changedSince === undefined) return { wanted: named, unchanged: 0 };
  const wanted = changedJobs({ ...selection, jobs: named }, changedSince);
  return { wanted, unchanged: named.length - wanted.length };
}

async function run(
  jobs: JobSpec[],
  width: number,
  options: CiCommandOptions,
  io: CommandIo,
  surroundings: CiEnvironment,
): Promise<JobResult[]> {
  const { environment } = surroundings;
  const progress = new CiProgress({
    io,
    quiet: Boolean(options.quiet),
    columns: Number(environment.COLUMNS) || 80,
    weights: new Map(jobs.map((job) => [job.name, weightOf(job)])),
  });
  const abort = new AbortController();
  const interrupt = (): void =>
    abort.abort(new RevenantError('E_INTERRUPTED', 'Interrupted; the workers are stopped.'));
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const artifacts = options.artifacts === undefined ? null : path.resolve(options.artifacts);
  const listener: RunListener = {
    started: (spec) => progress.started(spec),
    progress: (spec, at) => progress.progress(spec, at),
    note: (spec, text) => progress.note(spec, text),
    finished: (spec, result) => {
      if (artifacts !== null) keepArtifacts(artifacts, result);
      progress.finished(spec, result);
    },
  };
  const program = workerProgram(options.workerMemory);
  const cache = openCache(options, surroundings);
  try {
    return await runCached(jobs, cache, Boolean(options.fresh), listener, (left) => {
      if (options.queue !== undefined)
        return runQueued(left, options.queue, options, {
          listener,
          signal: abort.signal,
          say: (text) => progress.say(`revenant: ${text}`),
          now: () => io.now(),
        });
      return runPool({
        jobs: left,
        width,
        weigh: weightOf,
        listener,
        signal: abort.signal,
        start: (spec, jobListener) =>
          startJob({ program, spec, artifacts, listener: jobListener, now: () => io.now() }),
      });
    });
  } finally {
    progress.clear();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

function hostFacts(): RunReport['host'] {
  return {
    name: os.hostname(),
    processor: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    node: process.version,
  };
}

function ending(report: RunReport): string {
  const { counts, results, seconds, parallel, unchanged } = report;
  const bad = results.filter(({ state }) => state === 'failed' || state === 'error');
  const slow = slowest(results, SLOWEST).map(
    ({ name, seconds: took }) => `  ${took.toFixed(1).padStart(7)} s  ${printable(name)}`,
  );
  const lines = [
    ...bad.map(
      (result) => `revenant: ${result.state}: ${printable(result.name)}: ${printable(headline(result))}`,
    ),
    ...(slow.length > 0 ? ['revenant: the slowest:', ...slow] : []),
    `revenant: ${countsText(counts)} in ${duration(seconds)}, ${parallel > 0 ? `${parallel} at a time` : 'by the queue'}`,
  ];
  if (unchanged > 0) lines.push(`revenant: ${unchanged} unchanged, not replayed`);
  if (report.strict && counts.skipped > 0) lines.push('revenant: --strict: skipped traces are failures');
  return lines.map((line) => `${line}\n`).join('');
}

function exitCodeOf({ counts, strict }: RunReport): number {
  if (counts.failed + counts.error > 0) return ExitCode.diverged;
  return strict && counts.skipped > 0 ? ExitCode.skipped : ExitCode.ok;
}
