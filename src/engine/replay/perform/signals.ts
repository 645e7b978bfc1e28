import { SIG_DFL } from '../../task/signal-state.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { writeCpuNumber } from '../../guest/rseq.js';
import { noteHandler } from '../syscalls/facts/state.js';
import { isInterrupted } from '../syscalls/restart.js';

/** SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU. */
const STOPS: readonly number[] = [19, 20, 21, 22];

/** The signal is delivered without a handler: registers from the frame. */
export function deliverSignal(core: ReplayCore, task: Task, frame: TraceFrame): void {
  core.applyMemWrites(frame, task);
  core.loadRegisters(task, frame);
  if (!isInterrupted(core, task)) task.syscall = -1;
  const number = delivered(task, frame);
  if (!STOPS.includes(number) || task.group.actions.of(number).handler !== SIG_DFL) return;
  for (const each of task.group.tasks) each.stopped = true;
}

/** One that waited does not any more. */
function delivered(task: Task, { siginfo }: TraceFrame): number {
  if (siginfo.byteLength < 4) return 0;
  const number = new DataView(siginfo.buffer, siginfo.byteOffset, 4).getInt32(0, true);
  task.fds.files.world.signals.taken(task.group.tgid, task.tid, number);
  return number;
}

/** A handler's frame was built: vector state, the kernel's signal frame on the stack, registers (rr-traces.md 8.1). */
export function enterHandler(core: ReplayCore, task: Task, frame: TraceFrame): void {
  noteHandler(task, frame.siginfo);
  delivered(task, frame);
  task.syscall = -1;
  if (frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
  core.applyMemWrites(frame, task);
  core.loadRegisters(task, frame);
}

/**
 * A task that is scheduled after another has its CPU number written to its rseq area. rr does this
 * from 5.9 on (Task::will_schedule); before, the program's value was kept. The header does not have
 * the recorder's version, but only those recorders write the limit of user addresses.
 */
export function writeRseqCpu(core: ReplayCore, task: Task): void {
  if (!task.rseq || core.header.maxVirtualAddressSize === 0) return;
  writeCpuNumber(task.space, task.rseq.pointer, Math.max(0, core.header.bindToCpu));
}
