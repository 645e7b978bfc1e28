/** Errors of a session other than divergences. */
import { hex } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { TraceReader } from '../../trace/reader.js';

export const hangs = ({ frameTime, tid }: TraceFrame, seconds: number, cause: unknown): RevenantError =>
  new RevenantError(
    'E_MACHINE_LOST',
    `Frame ${frameTime}, task ${tid}: the program has run for ${seconds} s without coming nearer to the event, and ` +
      'the vCPU does not stop.',
    'The machine hangs: end it with `revenant machine stop`, then run the command again.',
    { cause },
  );

/** A mapping record that no frame consumed means that the streams do not belong together. */
export function requireMappingsTaken(trace: TraceReader, { frameTime }: TraceFrame): void {
  const record = trace.nextMapping(frameTime);
  if (!record) return;
  throw new RevenantError(
    'E_TRACE_CORRUPT',
    `Frame ${frameTime} has a mapping record (${hex(record.start)}) that its event does not use.`,
    'Either the trace is damaged or its rr is newer than Revenant supports.',
  );
}

export const noTask = ({ frameTime, tid }: TraceFrame): RevenantError =>
  new RevenantError(
    'E_TRACE_CORRUPT',
    `Frame ${frameTime} is of task ${tid}, which does not exist.`,
    'The events do not fit together: the trace is damaged.',
  );

/** The recorder was killed: `events` may have reached the disk before what its last frames need (rr-traces.md 1.5). */
export function isCutShort(trace: TraceReader, error: unknown): boolean {
  if (!trace.incomplete || !(error instanceof RevenantError) || error.code !== 'E_TRACE_CORRUPT')
    return false;
  return trace.peekMapping() === null || trace.peekTaskEvent() === null;
}
