import { EventKind, type TraceFrame } from '../../trace/frame.js';
import type { Task } from '../../task/task.js';

/**
 * Whether a reschedule need not be found: it changes nothing and the same task goes on, so nothing can
 * observe where it happened.
 * @param next the frame that follows, if any
 */
export function isElidable(frame: TraceFrame, task: Task | null, next: TraceFrame | null): boolean {
  if (frame.kind !== EventKind.sched || frame.memWriteCount > 0 || frame.inSyscallbufSyscallHook !== 0n)
    return false;
  return task?.rseq == null && next?.tid === frame.tid;
}
