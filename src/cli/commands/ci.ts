import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { keepArtifacts } from '../../jobs/artifacts.js';
import type { JobResult } from '../../jobs/result.js';
import { headline } from '../../jobs/report/problem-text.js';
import type { RunReport } from '../../jobs/report/run-report.js';
import { countsText, countStates, slowest } from '../../jobs/report/run-report.js';
import type { RunListener } from '../../jobs/run/pool.js';
import { poolWidth, runPool } from '../../jobs/run/pool.js';
import { startJob } from '../../jobs/run/process.js';
import type { Overrides } from '../../jobs/select.js';
import { selectJobs, weightOf } from '../../jobs/select.js';
import type { JobSpec } from '../../jobs/spec.js';
import { matches } from '../args.js';
import { CiProgress, duration } from '../ci-progress.js';
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
}

/** What the command takes from its surroundings. */
export interface CiEnvironment {
  version: string;
  environment: NodeJS.ProcessEnv;
  /** Now, ISO 8601. */
  date: () => string;
}

const MIB = 1024 ** 2;
/** The launcher builds what is out of date, so that a worker never is of another version than its parent. */
const LAUNCHER = fileURLToPath(new URL('../../../bin/revenant', import.meta.url));
const SLOWEST = 5;

/** `revenant ci [MANIFEST|FOLDER]`. Returns the exit code. */
export async function ciCommand(
  target: string | undefined,
  options: CiCommandOptions,
  io: CommandIo,
  surroundings: CiEnvironment,
): Promise<number> {
  const { jobs } = selectJobs(target, options);
  const { only } = options;
  const wanted = only === undefined ? jobs : jobs.filter(({ name }) => matches(only, name));
  if (wanted.length === 0)
    throw new RevenantError('E_TRACE_MISSING', `No trace's name matches ${String(only)}.`);
  if (options.list) {
    io.out(wanted.map(({ name, trace }) => `${printable(name)}\t${printable(trace)}\n`).join(''));
    return ExitCode.ok;
  }
  const started = surroundings.date();
  const begun = io.now();
  const width = options.jobs ?? poolWidth(os.availableParallelism(), os.freemem(), wanted);
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
    unchanged: 0,
    results,
  };
  writeReports(report, options, io, surroundings.environment);
  if (!options.quiet) io.err(ending(report));
  return exitCodeOf(report);
}

async function run(
  jobs: JobSpec[],
  width: number,
  options: CiCommandOptions,
  io: CommandIo,
  { environment }: CiEnvironment,
): Promise<JobResult[]> {
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
    started: (spec, attempt) => progress.started(spec, attempt),
    progress: (spec, at) => progress.progress(spec, at),
    note: (spec, text) => progress.note(spec, text),
    finished: (spec, result) => {
      if (artifacts !== null) keepArtifacts(artifacts, result);
      progress.finished(spec, result);
    },
  };
  const program = {
    args: [LAUNCHER, 'job'],
    heapMiB: options.workerMemory === undefined ? undefined : Math.ceil(options.workerMemory / MIB),
  };
  try {
    return await runPool({
      jobs,
      width,
      weigh: weightOf,
      listener,
      signal: abort.signal,
      start: (spec, jobListener) =>
        startJob({ program, spec, artifacts, listener: jobListener, now: () => io.now() }),
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
  const { counts, results, seconds, parallel } = report;
  const bad = results.filter(({ state }) => state === 'failed' || state === 'error');
  const slow = slowest(results, SLOWEST).map(
    ({ name, seconds: took }) => `  ${took.toFixed(1).padStart(7)} s  ${printable(name)}`,
  );
  const lines = [
    ...bad.map(
      (result) => `revenant: ${result.state}: ${printable(result.name)}: ${printable(headline(result))}`,
    ),
    ...(slow.length > 0 ? ['revenant: the slowest:', ...slow] : []),
    `revenant: ${countsText(counts)} in ${duration(seconds)}, ${parallel} at a time`,
  ];
  if (report.strict && counts.skipped > 0) lines.push('revenant: --strict: skipped traces are failures');
  return lines.map((line) => `${line}\n`).join('');
}

function exitCodeOf({ counts, strict }: RunReport): number {
  if (counts.failed + counts.error > 0) return ExitCode.diverged;
  return strict && counts.skipped > 0 ? ExitCode.skipped : ExitCode.ok;
}
