/** The result of a job. Plain data for JSON: 64-bit numbers are hexadecimal strings. */
import type { DivergenceDocument } from '../../engine/replay/report/report.js';
import type { StreamFacts } from '../../recording/stream-capture.js';
import type { ProgramStack } from './stack.js';
import type { Timeline } from './timeline.js';

/**
 * `failed`: the replay diverged or an expectation is not met. `error`: no verdict (damaged trace,
 * worker lost, out of time or memory). `skipped`: no machine here can replay it, Revenant does not
 * support such traces, or the run was interrupted before.
 */
export type JobState = 'passed' | 'failed' | 'error' | 'skipped';

export interface Problem {
  kind:
    | 'divergence'
    | 'stdout'
    | 'stderr'
    | 'status'
    | 'reach'
    | 'question'
    | 'timeout'
    | 'memory'
    | 'trace'
    | 'machine'
    | 'unsupported'
    | 'worker'
    | 'interrupted';
  /** One or more sentences. */
  message: string;
  /** Code of the RevenantError, where there is one. */
  code: string | null;
  hint: string | null;
  expected: string | null;
  found: string | null;
}

export interface QuestionResult {
  name: string;
  /** The question as in the manifest: `tree_sum(root)`. */
  asked: string;
  /** `at exit`, `at insert, hit 10`. */
  place: string;
  state: 'passed' | 'failed' | 'error' | 'unanswered';
  expected: string;
  /** Null without an answer. */
  found: string | null;
  /** Why there is none, or why it is wrong. */
  problem: string | null;
  /** The command that evaluates it again, if there is one. */
  again: string | null;
}

export interface MachineFacts {
  kind: string;
  description: string;
  guestXcr0: string;
  xcr0: string;
  /** Why `auto` passed the host over; null if it did not. */
  hostProblem: string | null;
}

export interface TraceSummary {
  recordedOn: string;
  xcr0: string;
  commandLine: string[];
  frames: number;
  tasks: number;
  /** Seconds of the recorder's clock. */
  duration: number;
}

export interface Artifact {
  /** What it is: `log`, `report`, `checkpoint`. */
  kind: string;
  /** File, absolute in the worker, relative to the artifacts folder in reports. */
  path: string;
}

export interface JobResult {
  name: string;
  trace: string;
  source: { file: string; line: number } | null;
  state: JobState;
  problems: Problem[];
  questions: QuestionResult[];
  /** Number of attempts; more than one only with retries. */
  attempts: number;
  /** It passed, but not the first time. */
  flaky: boolean;
  /** The result is that of an earlier run with the same trace, version and expectations. */
  cached: boolean;
  /** Of the whole job in its worker. */
  seconds: number;
  /** Of replaying only. */
  replaySeconds: number;
  /** The last frame that was replayed. */
  frames: number;
  /** As a shell reports it; null if the trace or the replay ended before the program. */
  status: number | null;
  summary: TraceSummary | null;
  machine: MachineFacts | null;
  stats: Record<string, number> | null;
  stdout: StreamFacts | null;
  stderr: StreamFacts | null;
  divergence: DivergenceDocument | null;
  /** The divergence as people read it. */
  divergenceText: string | null;
  timeline: Timeline | null;
  /** Stacks at wrong answers and at a crash. */
  stacks: ProgramStack[];
  /** The command that does the same here. */
  reproduce: string;
  /** The trace and options as `revenant gdb` and `revenant call` take them. */
  opening: string;
  /** The command that starts right before a divergence, in the folder of artifacts; null without a checkpoint. */
  debug: string | null;
  artifacts: Artifact[];
  /** Of the worker process: its end. */
  log: string;
  /** Which worker of a queue did it; null: this machine. */
  worker: string | null;
}

/** An empty result with the job's name; `problems` determine the state. */
export function newResult(spec: { name: string; trace: string; source: JobResult['source'] }): JobResult {
  return {
    name: spec.name,
    trace: spec.trace,
    source: spec.source,
    state: 'passed',
    problems: [],
    questions: [],
    attempts: 1,
    flaky: false,
    cached: false,
    seconds: 0,
    replaySeconds: 0,
    frames: 0,
    status: null,
    summary: null,
    machine: null,
    stats: null,
    stdout: null,
    stderr: null,
    divergence: null,
    divergenceText: null,
    timeline: null,
    stacks: [],
    reproduce: '',
    opening: '',
    debug: null,
    artifacts: [],
    log: '',
    worker: null,
  };
}

const SKIPS: ReadonlySet<Problem['kind']> = new Set(['machine', 'unsupported', 'interrupted']);
const ERRORS: ReadonlySet<Problem['kind']> = new Set(['timeout', 'memory', 'trace', 'worker']);

/** Of a job that was not begun, or not to its end, when the run was interrupted. */
export const NOT_RUN = 'Not run: interrupted.';

/** The result of a job that was not run. */
export function notRun(spec: Parameters<typeof newResult>[0]): JobResult {
  const result = newResult(spec);
  result.problems.push(problem('interrupted', NOT_RUN, { code: 'E_INTERRUPTED' }));
  result.state = stateOf(result.problems);
  return result;
}

/** Whether the run was interrupted before this job was done. */
export const wasInterrupted = ({ problems }: JobResult): boolean =>
  problems.some(({ kind }) => kind === 'interrupted');

/** The state that follows from the problems. */
export function stateOf(problems: readonly Problem[]): JobState {
  if (problems.some(({ kind }) => !SKIPS.has(kind) && !ERRORS.has(kind))) return 'failed';
  if (problems.some(({ kind }) => ERRORS.has(kind))) return 'error';
  return problems.length > 0 ? 'skipped' : 'passed';
}

export function problem(kind: Problem['kind'], message: string, more: Partial<Problem> = {}): Problem {
  return { kind, message, code: null, hint: null, expected: null, found: null, ...more };
}

/** A wait status as a shell reports it. */
export const shellStatus = (wait: number): number =>
  (wait & 0x7f) === 0 ? (wait >> 8) & 0xff : 128 + (wait & 0x7f);
