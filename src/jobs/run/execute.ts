/**
 * Runs one job in its worker process: replay, compare, evaluate questions. The caller provides
 * machine and replay (`Replayer`); results are judged here.
 */
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import { RevenantError } from '../../engine/base/errors.js';
import { asFailure } from '../../engine/base/system-errors.js';
import type { DivergenceDocument } from '../../engine/replay/report/report.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { checkpointFile } from '../report/artifacts.js';
import { noSuchFrame } from '../../recording/trace-index.js';
import { StreamCapture } from '../../recording/stream-capture.js';
import { testStream } from '../checks/text.js';
import type { QuestionAnswerer } from '../questions/answerer.js';
import { askQuestions, keepStack } from '../questions/ask.js';
import type { TraceScan } from '../model/timeline.js';
import { scanTrace } from '../model/timeline.js';
import type { JobResult, MachineFacts, Problem } from '../model/result.js';
import { newResult, problem, stateOf } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import { openingWords, reproduceCommand } from '../model/reproduce.js';

/** What a replay was. */
export interface ReplayOutcome {
  /** The last frame of the trace was replayed. */
  complete: boolean;
  /** What ended it before its time. */
  failure: unknown;
  frames: number;
  seconds: number;
  /** As a shell reports it. */
  status: number | null;
  machine: MachineFacts | null;
  stats: Record<string, number> | null;
  /** Of a divergence. */
  divergence: { document: DivergenceDocument; text: string } | null;
}

export interface ReplayHooks {
  output(fd: 1 | 2, bytes: Uint8Array): void;
  progress(frame: number, seconds: number): void;
}

/** Opens, replays and evaluates; created by the command line, which owns clock and machines. */
export interface Replayer {
  open(spec: JobSpec): TraceReader;
  /** `brand`: the recording processor's name. */
  brand(reader: TraceReader): string;
  replay(spec: JobSpec, hooks: ReplayHooks): Promise<ReplayOutcome>;
  /** A separate replay for questions. */
  answerer(spec: JobSpec): Promise<QuestionAnswerer>;
  /** Writes a checkpoint of a replay after a frame. */
  checkpoint(spec: JobSpec, frame: number, file: string): Promise<void>;
}

/** Observer of a job. */
export interface JobObserver {
  progress(at: Progress): void;
  /** The job has failed with this preliminary result; the final one follows. */
  provisional(result: JobResult): void;
  /** For the log that is kept of a failure. */
  say(text: string): void;
  /** Folder for artifacts of failures, as of `artifactFolder`; null: none are written. */
  artifacts: string | null;
}

export interface Progress {
  phase: 'reading' | 'replaying' | 'asking' | 'keeping';
  frame: number;
  frames: number;
}

/** Throws only errors that end the worker: every failure is a result. */
export async function executeJob(
  spec: JobSpec,
  replayer: Replayer,
  observer: JobObserver,
): Promise<JobResult> {
  const progress = observer.progress.bind(observer);
  const result = newResult(spec);
  result.reproduce = reproduceCommand(spec);
  result.opening = openingWords(spec);
  try {
    progress({ phase: 'reading', frame: 0, frames: 0 });
    const scan = look(spec, replayer, result);
    const { frames } = scan.timeline;
    const { unreadable } = spec.expect;
    if (unreadable !== undefined) throw new RevenantError('E_TRACE_CORRUPT', unreadable);
    await replayAndCompare(spec, replayer, result, scan, (frame) =>
      progress({ phase: 'replaying', frame, frames }),
    );
    if (spec.questions.length > 0 && result.divergence === null && stateOf(result.problems) !== 'skipped') {
      progress({ phase: 'asking', frame: frames, frames });
      await askQuestions(spec, result, () => replayer.answerer(spec));
    }
    if (result.problems.length > 0 && (result.status ?? 0) > 128) {
      progress({ phase: 'asking', frame: frames, frames });
      await lookAtCrash(spec, replayer, result);
    }
  } catch (error) {
    result.problems.push(problemOf(error));
  }
  result.state = stateOf(result.problems);
  if (result.divergence !== null && observer.artifacts !== null) {
    observer.provisional(result);
    await keepCheckpoint(spec, replayer, result, observer.artifacts, observer);
  }
  return result;
}

/** The stack where the program crashed, for the report. */
async function lookAtCrash(spec: JobSpec, replayer: Replayer, result: JobResult): Promise<void> {
  const answerer = await replayer.answerer(spec);
  try {
    const signal = SIGNAL_NAMES[result.status! - 128] ?? `signal ${result.status! - 128}`;
    await keepStack(result, signal, { kind: 'crash' }, answerer);
  } finally {
    answerer.close();
  }
}

/** A checkpoint for a debugger: after the last frame that was as recorded. Without it the job does not fail. */
async function keepCheckpoint(
  spec: JobSpec,
  replayer: Replayer,
  result: JobResult,
  artifacts: string,
  observer: JobObserver,
): Promise<void> {
  const frame = result.divergence!.frameTime - 1;
  const file = checkpointFile(artifacts, spec.name);
  observer.progress({ phase: 'keeping', frame, frames: result.timeline?.frames ?? frame });
  try {
    await replayer.checkpoint(spec, frame, file);
    result.artifacts.push({ kind: 'checkpoint', path: file });
  } catch (error) {
    observer.say(`no checkpoint after frame ${frame} was written: ${problemOf(error).message}`);
  }
}

/** One pass over the trace, without a machine. */
function look(spec: JobSpec, replayer: Replayer, result: JobResult): TraceScan {
  const reader = replayer.open(spec);
  try {
    const recordedOn = replayer.brand(reader);
    const xcr0 = `0x${reader.header.xcr0.toString(16)}`;
    const scan = scanTrace(reader, new Set(spec.expect.reaches.map(({ frame }) => frame)));
    const { timeline, commandLine } = scan;
    const { frames, duration, tasks } = timeline;
    result.timeline = timeline;
    result.summary = { recordedOn, xcr0, commandLine, frames, tasks: tasks.length, duration };
    return scan;
  } finally {
    reader.close();
  }
}

async function replayAndCompare(
  spec: JobSpec,
  replayer: Replayer,
  result: JobResult,
  scan: TraceScan,
  progress: (frame: number) => void,
): Promise<void> {
  const streams = { 1: new StreamCapture(), 2: new StreamCapture() };
  const outcome = await replayer.replay(spec, {
    output: (fd, bytes) => streams[fd].add(bytes),
    progress,
  });
  result.stdout = streams[1].facts();
  result.stderr = streams[2].facts();
  result.frames = outcome.frames;
  result.replaySeconds = outcome.seconds;
  result.status = outcome.status;
  result.machine = outcome.machine;
  result.stats = outcome.stats;
  if (outcome.divergence) {
    result.divergence = outcome.divergence.document;
    result.divergenceText = outcome.divergence.text;
  }
  // The output of a replay that did not finish is incomplete: only the failure is reported.
  if (outcome.failure === null) result.problems.push(...compare(spec, result, scan));
  else result.problems.push(problemOf(outcome.failure));
}

function compare({ expect }: JobSpec, result: JobResult, scan: TraceScan): Problem[] {
  const problems: Problem[] = [];
  for (const name of ['stdout', 'stderr'] as const) {
    const test = expect[name];
    const wrong = test && testStream(test, result[name]!);
    if (!wrong) continue;
    const { message, expected, found } = wrong;
    problems.push(problem(name, `${name} ${message}.`, { expected, found }));
  }
  if (expect.status !== null && result.status !== expect.status) {
    const found = result.status === null ? 'no end of the program' : String(result.status);
    const expected = String(expect.status);
    problems.push(problem('status', `Exit status ${found}, expected ${expected}.`, { expected, found }));
  }
  for (const { frame, event } of expect.reaches) {
    const found = scan.events.get(frame);
    if (result.frames < frame || found === undefined) {
      problems.push(
        problem('reach', `Frame ${frame} is not reached: the replay ends with frame ${result.frames}.`),
      );
    } else if (event !== null && !found.startsWith(event)) {
      problems.push(
        problem('reach', `Frame ${frame} is ${found}, expected ${event}.`, { expected: event, found }),
      );
    }
  }
  if (expect.until !== null && result.frames < expect.until) {
    problems.push(problem('reach', noSuchFrame(expect.until, result.frames).message));
  }
  return problems;
}

const KINDS: Record<string, Problem['kind']> = {
  E_DIVERGED: 'divergence',
  E_MACHINE_CANNOT: 'machine',
  E_UNSUPPORTED: 'unsupported',
  E_MEMORY_LIMIT: 'memory',
  E_MACHINE_START: 'worker',
  E_MACHINE_LOST: 'worker',
  E_INTERNAL: 'worker',
  E_SYSTEM: 'worker',
  E_OUTPUT: 'worker',
  E_QUEUE: 'worker',
};

/** A failure as a problem; unknown ones are defects of ours. */
export function problemOf(error: unknown): Problem {
  const { code, message, hint, cause } = asFailure(error);
  const text = code === 'E_INTERNAL' && cause instanceof Error ? `Internal error: ${cause.stack}` : message;
  return problem(KINDS[code] ?? 'trace', text, { code, hint: hint ?? null });
}
