/** Runs one job in its own process, which can be killed, run out of memory or crash without affecting the rest. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { requireProcesses } from '../../engine/base/process-room.js';
import type { JobResult, Problem } from '../model/result.js';
import { newResult, NOT_RUN, problem, stateOf } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import { problemOf, type Progress } from './execute.js';
import type { RunMessage, WorkerMessage } from './protocol.js';
import { reproduceCommand } from '../model/reproduce.js';

const LOG_BYTES = 64 * 1024;
/** After its result a worker releases its machine and exits; one that hangs is killed after this time. */
const SHUTDOWN_GRACE_MS = 10_000;
const DEFAULT_HEAP_MIB = 1024;

export interface WorkerProgram {
  /** Arguments of node: the script and its arguments. */
  args: string[];
  /** Most memory of the worker's own (not the guest's), in MiB. */
  heapMiB?: number;
}

export interface JobListener {
  progress(at: Progress): void;
  note(text: string): void;
}

export interface RunningJob {
  /** Never rejects. */
  readonly result: Promise<JobResult>;
  /** Kills the worker; the result is then "not run", unless a failure was reported. */
  cancel(): void;
}

export interface StartOptions {
  program: WorkerProgram;
  spec: JobSpec;
  artifacts: string | null;
  listener: JobListener;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
}

/** Node's threads: it aborts, or hangs, if it cannot create them. */
const PROCESSES_OF_A_WORKER = 11;

/** Starts a job's worker. */
export function startJob(options: StartOptions): RunningJob {
  const { program, spec } = options;
  try {
    requireProcesses(PROCESSES_OF_A_WORKER, 'A worker');
  } catch (error) {
    const result = { ...newResult(spec), problems: [problemOf(error)], reproduce: reproduceCommand(spec) };
    return { result: Promise.resolve({ ...result, state: stateOf(result.problems) }), cancel: () => {} };
  }
  const heap = `--max-old-space-size=${program.heapMiB ?? DEFAULT_HEAP_MIB}`;
  const child = spawn(process.execPath, [heap, ...program.args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const worker = new Worker(child, options);
  return {
    result: worker.finished.then((result) => ({ ...result, reproduce: reproduceCommand(spec) })),
    cancel: () => worker.stop(problem('interrupted', NOT_RUN, { code: 'E_INTERRUPTED' })),
  };
}

class Worker {
  readonly finished: Promise<JobResult>;
  private log = Buffer.alloc(0);
  private result: JobResult | null = null;
  private provisional: JobResult | null = null;
  /** Why we ended it. */
  private reason: Problem | null = null;
  private readonly begun: number;
  private readonly deadline: NodeJS.Timeout;

  constructor(
    private readonly child: ChildProcess,
    private readonly options: StartOptions,
  ) {
    const { spec, now } = options;
    this.begun = now();
    const { timeoutSeconds } = spec.limits;
    const late = problem('timeout', `Not done after ${timeoutSeconds} s.`, {
      hint: 'Set `timeout` in the manifest; `revenant replay` shows how far the replay gets.',
    });
    // A Node timer longer than 2^31 ms fires immediately.
    this.deadline = setTimeout(() => this.stop(late), Math.min(timeoutSeconds * 1000, 0x7fff_ffff));
    child.stderr?.on('data', (bytes: Buffer) => this.keepLog(bytes));
    child.on('message', (message: WorkerMessage) => this.onMessage(message));
    this.finished = new Promise((resolve) => {
      child.once('error', (error) => {
        this.reason ??= problem('worker', `The worker could not be started: ${error.message}.`);
        resolve(this.conclude(null, null));
      });
      child.once('close', (code, signal) => resolve(this.conclude(code, signal)));
    });
    const run: RunMessage = { kind: 'run', spec, artifacts: options.artifacts };
    // A child that exits immediately closes the channel before this is written; its exit is handled.
    if (child.pid !== undefined) child.send(run, () => {});
  }

  /** Kills the worker. */
  stop(reason: Problem): void {
    this.reason ??= reason;
    this.child.kill('SIGKILL');
  }

  private onMessage(message: WorkerMessage): void {
    const { listener } = this.options;
    if (message.kind === 'progress') listener.progress(message);
    else if (message.kind === 'note') listener.note(message.text);
    else if (message.kind === 'provisional') this.provisional = message.result;
    else {
      this.result = message.result;
      clearTimeout(this.deadline);
      setTimeout(() => this.child.kill('SIGKILL'), SHUTDOWN_GRACE_MS).unref();
    }
  }

  private keepLog(bytes: Buffer): void {
    const all = Buffer.concat([this.log, bytes]);
    this.log = all.subarray(Math.max(0, all.length - LOG_BYTES));
  }

  private conclude(code: number | null, signal: NodeJS.Signals | null): JobResult {
    clearTimeout(this.deadline);
    const { spec, now } = this.options;
    const result = this.result ?? this.provisional ?? newResult(spec);
    result.seconds = (now() - this.begun) / 1000;
    result.log = this.log.toString('utf8');
    if (this.result !== null) {
      // Logs of passed jobs are not used.
      if (result.state === 'passed' || result.state === 'skipped') result.log = '';
      return result;
    }
    const ended = this.reason ?? unexpectedEnd(code, signal, result.log);
    if (this.provisional === null) {
      result.problems.push(ended);
      result.state = stateOf(result.problems);
    } else {
      result.log += `Not all of the failure was kept. ${ended.message}\n`;
    }
    return result;
  }
}

const HINTS: Partial<Record<NodeJS.Signals, string>> = {
  SIGKILL: 'Unless it was killed by hand, the kernel killed it because memory ran out.',
  SIGABRT: 'Node aborts if it cannot get memory or threads: check `ulimit -v` and `ulimit -u`.',
};

function unexpectedEnd(code: number | null, signal: NodeJS.Signals | null, log: string): Problem {
  if (/heap out of memory|heap limit/i.test(log)) {
    return problem('memory', 'The worker process ran out of memory.', {
      hint: 'Raise the limit with --worker-memory.',
    });
  }
  const how = signal === null ? `with exit status ${code ?? 'unknown'}` : `by ${signal}`;
  // A worker that fails writes the reason at the end of its log.
  const words = signal === null ? /^revenant: ([^\n]+)\n/m.exec(log) : null;
  const hint = signal === null ? null : (HINTS[signal] ?? null);
  const why = words === null ? '.' : `: ${words[1]}`;
  return problem('worker', `The worker was ended ${how}${why}`, { hint });
}
