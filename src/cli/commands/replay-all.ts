import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { asFailure } from '../../engine/base/system-errors.js';
import type { Logger } from '../../engine/base/log.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { AllTable, type Outcome } from '../all-table.js';
import { matches } from '../matches.js';
import { Comparison } from '../comparison.js';
import { jsonValue } from '../failure.js';
import type { Expectation } from '../../jobs/manifest/find-traces.js';
import { findTraces, readExpectation, traceName, uniqueFolders } from '../../jobs/manifest/find-traces.js';
import { shellStatus } from '../../jobs/model/result.js';
import { Interrupt } from '../interrupt.js';
import { Machines } from '../../recording/machines.js';
import type { CommandIo } from '../output.js';
import { OutputClosed } from '../../engine/base/system-errors.js';
import { printable } from '../printable.js';
import { processorName } from '../../recording/processor.js';
import { Progress } from '../progress.js';
import { openTrace } from '../../recording/open.js';
import { runSession, type RunResult } from '../../recording/run.js';
import { resultDocument } from '../summary.js';
import { warner, type ReplayCommandOptions } from '../recordings.js';
import { progressText } from './replay.js';

export interface ReplayAllOptions extends ReplayCommandOptions {
  only?: string;
}

interface Context {
  options: ReplayAllOptions;
  io: CommandIo;
  log: Logger;
  machines: Machines;
  progress: Progress;
  turns: Interrupt;
}

/** `revenant replay --all DIR...`: every trace below the folders. Returns the exit code. */
export async function replayAllCommand(
  folders: string[],
  options: ReplayAllOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const { only } = options;
  const wanted = (name: string): boolean => only === undefined || matches(only, name);
  const warn = warner(io);
  const traces = uniqueFolders(
    folders.flatMap((folder) => findTraces(folder, warn).filter((trace) => wanted(traceName(folder, trace)))),
  );
  if (traces.length === 0)
    throw new RevenantError('E_TRACE_MISSING', `No trace below ${folders.join(', ')}.`);
  const progress = new Progress(io, Boolean(options.quiet));
  const turns = new Interrupt();
  const machines = new Machines(options, log, (text) => progress.waiting(text));
  const context: Context = { options, io, log, machines, progress, turns };
  const outcomes: Outcome[] = [];
  const table = new AllTable(traces, io.columns(1));
  try {
    if (!options.json) io.out(table.head());
    for (const trace of traces) {
      turns.check();
      const outcome = await replayOne(trace, context);
      outcomes.push(outcome);
      progress.clear();
      if (!options.json) io.out(table.row(outcome));
    }
  } finally {
    progress.clear();
    machines.close();
    turns.dispose();
  }
  const failed = outcomes.filter((outcome) => outcome.problem !== null).length;
  if (options.json) io.out(`${JSON.stringify(document(outcomes, failed), jsonValue)}\n`);
  else io.out(`\n${outcomes.length - failed} as recorded, ${failed} not\n`);
  // Not as recorded or not as expected; the others have no verdict.
  if (outcomes.some(({ problem, code }) => problem !== null && (code === null || code === 'E_DIVERGED')))
    return ExitCode.diverged;
  return failed > 0 ? ExitCode.unjudged : ExitCode.ok;
}

async function replayOne(folder: string, context: Context): Promise<Outcome> {
  const { io, log, machines, options, progress, turns } = context;
  const outcome: Outcome = {
    trace: folder,
    recordedOn: '?',
    recordedXcr0: null,
    result: null,
    problem: null,
    code: null,
  };
  let trace: TraceReader | null = null;
  try {
    const expected = readExpectation(folder);
    trace = openTrace(folder, options, warner(io));
    outcome.recordedOn = processorName(trace.header);
    outcome.recordedXcr0 = trace.header.xcr0;
    const comparison = expected.stdout && new Comparison(expected.stdout);
    outcome.result = await runSession({
      trace,
      machines,
      turns,
      log,
      output: (fd, bytes) => (fd === 1 ? comparison?.add(bytes) : undefined),
      stallLimit: options.stallLimit,
      until: Infinity,
      verifyTicks: options.verifyTicks,
      ticks: options.ticks,
      now: () => io.now(),
      onLost: (text) => progress.note(text),
      onTurn: (session, seconds) =>
        progress.update(() => `${printable(folder)}: ${progressText(session, seconds)}`),
    });
    if (outcome.result.failure !== null) throw outcome.result.failure;
    outcome.problem = comparison?.problem() ?? statusProblem(outcome.result, expected);
  } catch (error) {
    if (error instanceof OutputClosed) throw error;
    const failure = asFailure(error);
    if (failure.code === 'E_INTERRUPTED') throw error;
    outcome.problem = failure.message;
    outcome.code = failure.code;
    log.debug({ trace: folder, err: error }, 'replay failed');
  } finally {
    trace?.close();
  }
  return outcome;
}

function statusProblem(result: RunResult, expected: Expectation): string | null {
  if (expected.status === null) return null;
  const status = result.exitStatus === null ? null : shellStatus(result.exitStatus);
  return status === expected.status
    ? null
    : `exit status ${status ?? 'unknown'}, expected ${expected.status}`;
}

function document(outcomes: Outcome[], failed: number): object {
  return {
    traces: outcomes.map(({ trace, recordedOn, recordedXcr0, result, problem, code }) => ({
      trace,
      recordedOn,
      ...(result ? resultDocument(result) : { frames: 0, seconds: 0, xcr0: { recorded: recordedXcr0 } }),
      problem,
      code,
    })),
    passed: outcomes.length - failed,
    failed,
  };
}
