/** What a worker process and its parent say to each other, as JSON over Node's IPC channel. */
import type { JobResult } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { Progress } from './execute.js';

/** The only message to a worker: it does one job and ends. */
export interface RunMessage {
  kind: 'run';
  spec: JobSpec;
  /** Folder for artifacts that only the worker can make (a checkpoint); null: none are written. */
  artifacts: string | null;
}

export type WorkerMessage =
  | ({ kind: 'progress' } & Progress)
  /** For people, such as that a machine is being started. */
  | { kind: 'note'; text: string }
  /** The result unless another follows: a failure whose artifacts are still being written. */
  | { kind: 'provisional'; result: JobResult }
  | { kind: 'result'; result: JobResult };
