import { offsetBy } from '../engine/base/address.js';
import { CloneFlag, Sys } from '../engine/base/linux.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../engine/base/registers.js';
import type { ReplayCore } from '../engine/replay/state/core.js';
import {
  BufferHeader,
  RECORD_ONLY_CODE,
  RECORD_ONLY_EXITS,
  RR_PAGE_BREAKPOINT_VALUE,
  globalsBreakpointValue,
} from '../engine/guest/rr-abi.js';
import { adoptBufferedMask, setRecordOnlyCode } from '../engine/replay/program/syscallbuf.js';
import { REAL_TIMER, type RecordedSignals, type RecordedTimer } from '../engine/task/recorded-signals.js';
import { signalBit } from '../engine/task/signal-state.js';
import type { Task, ThreadGroup } from '../engine/task/task.js';
import { readAuxv, workingDirectory } from '../engine/task/initial-stack.js';
import { Process, Thread, type Credentials, type Place } from './kernel/process.js';
import type { Kernel } from './kernel/kernel.js';
import { toNanos } from './recorded-clocks.js';
import { waitForRelease } from './tasks/clone.js';
import type { RecordedDescriptors } from './devices/recorded.js';
import { SYSCALL_LENGTH } from '../engine/x86/constants.js';

const LOCKED_BY_TRACER = 2;
const IN_DIVERSION = 1;
const NO_BREAKPOINT = new Uint8Array(8).fill(0xff);
/** The child that a call has had since its entry: it returns the tid rather than making another. */
const CLONES: readonly number[] = [Sys.clone, Sys.fork, Sys.vfork];
/** AT_* (include/uapi/linux/auxvec.h). */
const Auxv = { uid: 11, euid: 12, gid: 13, egid: 14 } as const;

/**
 * Makes threads and processes of the copied tasks, in their state of the replay.
 * @param tid the user's current task: it runs even if it is stopped
 */
export function adoptTasks(
  kernel: Kernel,
  replay: ReplayCore,
  descriptors: RecordedDescriptors,
  tid: number,
): void {
  const processes = new Map<ThreadGroup, Process>();
  for (const task of kernel.core.tasks.values()) processOf(kernel, processes, descriptors, task);
  for (const task of kernel.core.tasks.values()) {
    const thread = new Thread(task, processOf(kernel, processes, descriptors, task));
    kernel.threads.set(task.tid, thread);
    thread.stopped = task.stopped && task.tid !== tid;
    adoptBufferedMask(task);
    neutraliseBuffer(replay, task);
  }
  for (const thread of kernel.threads.values()) {
    leaveRecordedCall(kernel, replay, thread);
    thread.task.syscall = -1;
  }
  const [task] = kernel.core.tasks.values();
  if (task) adoptSignals(kernel, task.fds.files.world.signals);
}

/** Signals that wait because they are blocked, and timers with what is left of their time. */
function adoptSignals(kernel: Kernel, { pending, timers }: RecordedSignals): void {
  for (const { pid, tid, number, info } of pending) {
    const process = kernel.processes.get(pid);
    const thread = tid === 0 ? null : kernel.threads.get(tid);
    if (!process || thread === undefined) continue;
    const takers = thread ? [thread] : [...process.threads];
    // A signal that a thread could take was taken.
    if (takers.some(({ task }) => (task.signalMask & signalBit(number)) === 0n)) continue;
    (thread ?? process).pending.add({ number, info });
  }
  for (const timer of timers) {
    const process = kernel.processes.get(timer.pid);
    if (!process) continue;
    const { id, clock, signal, value, tid, interval } = timer;
    const next = dueAt(kernel, timer);
    if (id === REAL_TIMER) Object.assign(process.alarm, { next, interval });
    else kernel.timers.push({ id, process, clock, signal, value, tid, next, interval, overrun: 0 });
    kernel.nextTimer = Math.max(kernel.nextTimer, id + 1);
  }
}

/** On the monotonic clock; what was due already has been. */
function dueAt(
  { clock }: Kernel,
  { clock: number, first, interval, isAbsolute, armedAt }: RecordedTimer,
): bigint {
  if (first === 0n) return 0n;
  const due = isAbsolute ? clock.toMonotonic(number, first) : toNanos(armedAt) + first;
  const now = clock.monotonic;
  if (due > now) return due;
  return interval === 0n ? 0n : due + ((now - due) / interval + 1n) * interval;
}

function processOf(
  kernel: Kernel,
  known: Map<ThreadGroup, Process>,
  descriptors: RecordedDescriptors,
  task: Task,
): Process {
  const { group } = task;
  const found = known.get(group);
  if (found) return found;
  const parentTask = group.parent && [...group.parent.tasks][0];
  const parent = parentTask ? processOf(kernel, known, descriptors, parentTask) : null;
  const process = new Process(
    group.tgid,
    parent,
    descriptors.tableOf(task),
    placeOf(task),
    group.actions,
    credentialsOf(task),
    group.program,
  );
  known.set(group, process);
  kernel.processes.set(process.pid, process);
  return process;
}

function placeOf(task: Task): Place {
  return { directory: workingDirectory(task.group) ?? '/', mask: 0o022 };
}

function credentialsOf(task: Task): Credentials {
  const start = task.group.program?.initialStack;
  const auxv = start === undefined ? new Map<number, bigint>() : readAuxv(task.space, start);
  const id = (key: number): number => Number(auxv.get(key) ?? 0n);
  return { uid: id(Auxv.uid), euid: id(Auxv.euid), gid: id(Auxv.gid), egid: id(Auxv.egid) };
}

/**
 * The task is in a recorded call, or was interrupted in one that the kernel restarts: it is
 * repeated, now as a call to the diversion. The task stays after the instruction, which may be one
 * of the replay page that makes no call: the result of a buffered call that had become a traced one
 * (rr-traces.md 7.8) is stored in the record, too.
 */
function leaveRecordedCall(kernel: Kernel, replay: ReplayCore, thread: Thread): void {
  const { task } = thread;
  const { registers } = task;
  if (task.syscall < 0) return goOnWithCall(thread);
  if (CLONES.includes(task.syscall)) {
    const child = newestChild(kernel, thread);
    if (child) {
      setSigned(registers, Reg.rax, child.tid);
      // Both run on one stack: the parent waits, as it does in the recording.
      if (isVfork(task) && child.task.space === task.space) {
        thread.wait = waitForRelease(child);
        return;
      }
      setSigned(registers, Reg.orig_rax, -1);
      return;
    }
  }
  makeAnew(thread, task.syscall);
  if (!RECORD_ONLY_EXITS.includes(getUnsigned(registers, Reg.rip)) || task.syscallbuf === 0) return;
  const committed = task.space.readU32(task.syscallbuf, 'the syscall buffer header');
  thread.record = offsetBy(task.syscallbuf, replay.header.syscallbufHdrSize + committed);
}

/** restart_syscall means the interrupted call, which is still in orig_rax. */
function goOnWithCall(thread: Thread): void {
  const { registers } = thread.task;
  const interrupted = getSigned(registers, Reg.orig_rax);
  if (getSigned(registers, Reg.rax) !== Sys.restart_syscall || interrupted < 0) return;
  if (interrupted === Sys.restart_syscall) return;
  makeAnew(thread, interrupted);
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) + SYSCALL_LENGTH);
}

/** Its timeout continues. */
function makeAnew(thread: Thread, number: number): void {
  const { syscallSince } = thread.task;
  thread.again = number;
  thread.since = syscallSince > 0 ? toNanos(syscallSince) : null;
}

const isVfork = ({ syscall, registers }: Task): boolean =>
  syscall === Sys.vfork ||
  (syscall === Sys.clone && (getUnsigned(registers, Reg.rdi) & CloneFlag.vfork) !== 0);

function newestChild(kernel: Kernel, { task }: Thread): Thread | null {
  let newest: Thread | null = null;
  for (const other of kernel.threads.values()) {
    const { group, serial } = other.task;
    if (group !== task.group && group.parent !== task.group) continue;
    if (serial > (newest?.task.serial ?? task.serial)) newest = other;
  }
  return newest;
}

/** From now on the preload library makes real calls (rr-traces.md 11.3). */
function neutraliseBuffer(replay: ReplayCore, task: Task): void {
  const { space, preload, syscallbuf } = task;
  setRecordOnlyCode(task, RECORD_ONLY_CODE);
  if (preload.globals !== 0) {
    space.write(offsetBy(preload.globals, 1), Uint8Array.of(IN_DIVERSION));
    const value = replay.header.quirks.usesGlobalsInReplay
      ? offsetBy(preload.globals, globalsBreakpointValue(replay.header))
      : RR_PAGE_BREAKPOINT_VALUE;
    space.write(value, NO_BREAKPOINT);
  }
  if (syscallbuf === 0) return;
  const locked = offsetBy(syscallbuf, BufferHeader.locked);
  const byte = new Uint8Array(1);
  if (space.read(locked, byte) === 1) space.write(locked, Uint8Array.of(byte[0] | LOCKED_BY_TRACER));
}
