/** What a worker process and its parent say to each other, as JSON over Node's IPC channel. */
import type { JobResult } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { Progress } from './execute.js';

/** The only message to a worker: it does one job and ends. */
export interface RunMessage {
  kind: 'run';
  spec: JobSpec;
  /** Folder for what only the worker can make of a failure (a checkpoint); null: nothing is kept. */
  artifacts: string | null;
}

export type WorkerMessage =
  | ({ kind: 'progress' } & Progress)
  /** For people, such as that a machine is being started. */
  | { kind: 'note'; text: string }
  /** What the result is if nothing comes after it: a failure of which something is still to be kept. */
  | { kind: 'provisional'; result: JobResult }
  | { kind: 'result'; result: JobResult };
