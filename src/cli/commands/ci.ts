import os from 'node:os';
import path from 'node:path';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { projectRoot } from '../../engine/base/native-folder.js';
import { durationText } from '../../engine/base/quantities.js';
import { unwritable } from '../../engine/base/system-errors.js';
import { keepArtifacts } from '../../jobs/report/artifacts.js';
import { runCached } from '../../jobs/cache/run-cached.js';
import { changedJobs } from '../../jobs/manifest/changed.js';
import { type JobResult, notRun } from '../../jobs/model/result.js';
import { headline } from '../../jobs/report/problem-text.js';
import type { RunReport } from '../../jobs/report/run-report.js';
import { countsText, countStates, slowest } from '../../jobs/report/run-report.js';
import type { RunListener } from '../../jobs/run/pool.js';
import { processRoom } from '../../engine/base/process-room.js';
import { poolWidth, runPool } from '../../jobs/run/pool.js';
import type { WorkerProgram } from '../../jobs/run/process.js';
import { startJob } from '../../jobs/run/process.js';
import type { Overrides } from '../../jobs/manifest/select.js';
import { selectJobs, weightOf } from '../../jobs/manifest/select.js';
import type { JobSpec } from '../../jobs/model/spec.js';
import { matches } from '../matches.js';
import { openCache } from '../ci/cache.js';
import type { CiEnvironment } from '../ci/environment.js';
import { CiProgress } from '../ci/progress.js';
import { checkStore, runQueued } from '../ci/queue.js';
import { Reports } from '../ci/reports.js';
import { onSignals } from '../interrupt.js';
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
  /** False: neither read nor written. */
  cache?: string | false;
  fresh?: boolean;
  changedSince?: string;
  /** URL of a Redis, whose workers do the jobs. */
  queue?: string;
  queuePrefix: string;
  queuePatience: number;
  store?: string;
}

const MIB = 1024 ** 2;
/** The launcher rebuilds what is out of date, so that worker and parent are always the same version. */
const LAUNCHER = path.join(projectRoot, 'bin/revenant');
const SLOWEST = 5;

/**
 * The command of worker processes.
 * @param bytes their own memory limit
 */
export function workerProgram(bytes: number | undefined): WorkerProgram {
  return { args: [LAUNCHER, 'job'], heapMiB: bytes === undefined ? undefined : Math.ceil(bytes / MIB) };
}

/** `revenant ci [MANIFEST|FOLDER]`. Returns the exit code. */
export async function ciCommand(
  target: string | undefined,
  options: CiCommandOptions,
  io: CommandIo,
  environment: CiEnvironment,
): Promise<number> {
  const warn = (text: string): void => io.err(`revenant: warning: ${printable(text)}\n`);
  const { wanted, unchanged } = choose(target, options, warn);
  if (options.list) {
    io.out(wanted.map(({ name, trace }) => `${printable(name)}\t${printable(trace)}\n`).join(''));
    return ExitCode.ok;
  }
  if (options.store !== undefined) await checkStore(options.store, options.queue);
  const begun = io.now();
  const width =
    options.queue !== undefined
      ? 0
      : (options.jobs ?? poolWidth(os.availableParallelism(), os.freemem(), wanted, processRoom()));
  const facts = {
    version: 1 as const,
    revenant: environment.version,
    started: new Date(environment.date()).toISOString(),
    target: target ?? '.',
    strict: Boolean(options.strict),
    host: hostFacts(),
    parallel: width,
    unchanged,
  };
  const reportOf = (results: JobResult[]): RunReport => ({
    ...facts,
    seconds: (io.now() - begun) / 1000,
    counts: countStates(results),
    results,
  });
  const run = new CiRun(wanted, width, options, io, environment, reportOf);
  let unwritten: RevenantError[] = [];
  let report: RunReport;
  const release = onSignals((reason) => run.interrupt(reason));
  try {
    report = reportOf(await run.perform());
    try {
      unwritten = [...run.reports.finish(report, environment.variables), ...run.unkept];
    } finally {
      if (!options.quiet) io.err(ending(report, run.interruption));
      for (const { message } of unwritten) io.err(`revenant: ${message}\n`);
    }
  } finally {
    release();
  }
  const { interruption } = run;
  if (interruption) return interruption.exitCode;
  const code = exitCodeOf(report);
  return unwritten.length > 0 && code !== ExitCode.diverged ? ExitCode.output : code;
}

/** The traces to replay, and how many `--changed-since` leaves out. Throws if no trace remains. */
function choose(
  target: string | undefined,
  options: CiCommandOptions,
  warn: (text: string) => void,
): { wanted: JobSpec[]; unchanged: number } {
  const selection = selectJobs(target, options, warn);
  const { only, changedSince } = options;
  const named = selection.jobs.filter(({ name }) => only === undefined || matches(only, name));
  if (named.length === 0)
    throw new RevenantError('E_TRACE_MISSING', `No trace's name matches ${String(only)}.`);
  if (changedSince === undefined) return { wanted: named, unchanged: 0 };
  const wanted = changedJobs({ ...selection, jobs: named }, changedSince);
  return { wanted, unchanged: named.length - wanted.length };
}

/** Runs the jobs, reports progress, caches results. */
class CiRun {
  readonly reports: Reports;
  /** The first error in writing artifacts of failures. */
  readonly unkept: RevenantError[] = [];
  private readonly progress: CiProgress;
  private readonly known = new Map<JobSpec, JobResult>();
  private readonly abort = new AbortController();
  private readonly artifacts: string | null;

  constructor(
    private readonly jobs: JobSpec[],
    private readonly width: number,
    private readonly options: CiCommandOptions,
    private readonly io: CommandIo,
    private readonly environment: CiEnvironment,
    reportOf: (results: JobResult[]) => RunReport,
  ) {
    this.progress = new CiProgress({
      io,
      quiet: Boolean(options.quiet),
      weights: new Map(jobs.map((job) => [job.name, weightOf(job)])),
    });
    this.artifacts = options.artifacts === undefined ? null : path.resolve(options.artifacts);
    const soFar = (): RunReport => reportOf(jobs.map((job) => this.known.get(job) ?? notRun(job)));
    this.reports = new Reports(options, io, soFar, (text) => this.warn(text));
  }

  /** Ends running jobs; the rest are not run. */
  interrupt(reason: RevenantError): void {
    this.abort.abort(reason);
  }

  /** The error that ended the run early. */
  get interruption(): RevenantError | null {
    return this.abort.signal.aborted ? (this.abort.signal.reason as RevenantError) : null;
  }

  /** Results in the order of the jobs. Throws E_QUEUE, E_USAGE. */
  async perform(): Promise<JobResult[]> {
    try {
      this.reports.update();
      return await this.run();
    } finally {
      this.progress.end();
    }
  }

  private run(): Promise<JobResult[]> {
    const { options, io } = this;
    const { signal } = this.abort;
    const complain = (text: string): void => this.warn(text);
    const cache = openCache(options, this.environment, complain);
    const cached = { fresh: Boolean(options.fresh), listener: this.listener(), complain, signal };
    const program = workerProgram(options.workerMemory);
    return runCached(this.jobs, cache, cached, (left, listener) => {
      if (options.queue !== undefined)
        return runQueued(left, options.queue, options, {
          listener,
          signal,
          say: (text) => this.progress.say(`revenant: ${text}`),
          now: () => io.now(),
        });
      return runPool({
        jobs: left,
        width: this.width,
        weigh: weightOf,
        listener,
        signal,
        start: (spec, jobListener) =>
          startJob({ program, spec, artifacts: this.artifacts, listener: jobListener, now: () => io.now() }),
      });
    });
  }

  private listener(): RunListener {
    const { progress } = this;
    return {
      started: (spec) => progress.started(spec),
      progress: (spec, at) => progress.progress(spec, at),
      note: (spec, text) => progress.note(spec, text),
      finished: (spec, result) => {
        this.keepArtifacts(result);
        this.known.set(spec, result);
        // Before the progress line: a trace that is shown as finished is in the reports.
        this.reports.update();
        progress.finished(spec, result);
      },
    };
  }

  private keepArtifacts(result: JobResult): void {
    if (this.artifacts === null) return;
    try {
      keepArtifacts(this.artifacts, result);
    } catch (error) {
      if (this.unkept.length === 0) {
        this.unkept.push(unwritable(`artifacts to ${this.artifacts}`, error));
        this.warn(this.unkept[0].message);
      }
    }
  }

  private warn(text: string): void {
    this.progress.say(`revenant: warning: ${printable(text)}`);
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

function ending(report: RunReport, interruption: RevenantError | null): string {
  const { counts, results, seconds, parallel, unchanged } = report;
  const bad = results.filter(({ state }) => state === 'failed' || state === 'error');
  const slow = slowest(results, SLOWEST).map(
    ({ name, seconds: took }) => `  ${durationText(took).padStart(9)}  ${printable(name)}`,
  );
  const lines = [
    ...bad.map(
      (result) => `revenant: ${result.state}: ${printable(result.name)}: ${printable(headline(result))}`,
    ),
    ...(slow.length > 0 ? ['revenant: the slowest:', ...slow] : []),
    `revenant: ${countsText(counts)} in ${durationText(seconds)}, ${parallel > 0 ? `${parallel} at a time` : 'by the queue'}`,
  ];
  if (interruption) lines.push(`revenant: ${interruption.message}`);
  if (unchanged > 0) lines.push(`revenant: ${unchanged} unchanged, not replayed`);
  if (report.strict && counts.skipped > 0) lines.push('revenant: --strict: skipped traces are failures');
  return lines.map((line) => `${line}\n`).join('');
}

function exitCodeOf({ counts, strict }: RunReport): number {
  if (counts.failed > 0) return ExitCode.diverged;
  if (counts.error > 0) return ExitCode.unjudged;
  return strict && counts.skipped > 0 ? ExitCode.skipped : ExitCode.ok;
}
