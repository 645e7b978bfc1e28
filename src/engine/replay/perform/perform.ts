import { invariant } from '../../base/errors.js';
import { getSigned, getUnsigned, Reg, setSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import type { ReplayContext } from './context.js';
import { performExec } from '../program/exec.js';
import { deliverSignal, enterHandler } from './signals.js';
import { abortRestartableSequence } from '../../guest/rseq.js';
import { Action, Goal, type ReplayStep } from '../plan/step.js';
import { RrCall } from '../../guest/rr-abi.js';
import {
  abortCommit,
  finishFlush,
  prepareFlush,
  requestHookExitNotice,
  resetBuffer,
} from '../program/syscallbuf.js';
import { markEntered, performEntry } from '../syscalls/enter.js';
import { performExit } from '../syscalls/exit.js';
import { growMap, mapPatchPages } from '../syscalls/memory.js';
import { noteEnd } from '../syscalls/facts/signals.js';
import { registersMatch, trapMatches } from '../plan/verify.js';
import { EventKind, type TraceFrame } from '../../trace/frame.js';
import { SYSCALL_LENGTH } from '../../x86/constants.js';

/** What has to be in place before tracee code runs to the event. */
export function prepareFrame(core: ReplayCore, task: Task, frame: TraceFrame, step: ReplayStep): void {
  if (step.action === Action.flushBuffer) prepareFlush(core, task, frame);
  const notice = core.header.rrcallBase + RrCall.notifySyscallHookExit;
  if (step.action === Action.enterSyscall && frame.syscallNumber === notice)
    requestHookExitNotice(task, frame);
}

/**
 * Whether a task is already in the system call of an entry, since its `enteringPtrace`. A debugger
 * may have skipped that call (PTRACE_SYSEMU): then this is another.
 */
export const isInCall = (core: ReplayCore, task: Task | null, frame: TraceFrame): boolean =>
  task !== null &&
  task.entered &&
  task.recTicks === frame.ticks &&
  registersMatch(frame.registers, core.registers(task));

/**
 * Applies a frame's effects at its event, then compares registers as rr would.
 * @returns the task after the frame, or null
 */
export function performFrame(
  context: ReplayContext,
  task: Task | null,
  frame: TraceFrame,
  step: ReplayStep,
): Task | null {
  context.core.recordedSec = frame.monotonicSec;
  if (step.action === Action.skip) return null;
  if (step.action === Action.exitExec) return finishExec(context, frame);
  invariant(task, 'every other action has a task');
  task.stopped = false;
  const compare = performAction(context, task, frame, step);
  if (compare) verify(context, task, frame);
  if (frame.hasRegisters) task.recTicks = frame.ticks;
  return step.action === Action.exitTask ? null : task;
}

function finishExec({ core }: ReplayContext, frame: TraceFrame): Task {
  const task = performExec(core, frame);
  task.recTicks = frame.ticks;
  return task;
}

/** @returns whether registers are to be compared: they were produced by the guest, not loaded from the frame */
function performAction({ core }: ReplayContext, task: Task, frame: TraceFrame, step: ReplayStep): boolean {
  switch (step.action) {
    case Action.enterSyscall:
      return enterSyscall(core, task, frame, step);
    case Action.restartSyscall:
      core.loadRegisters(task, frame);
      task.syscall = getSigned(frame.registers, Reg.orig_rax);
      core.applyMemWrites(frame, task);
      return false;
    case Action.exitSyscall:
      return performExit(core, task, frame) === 'compare';
    case Action.patchSyscall:
      return patchSyscall(core, task, frame);
    case Action.patchMemory:
      mapPatchPages(core, task, frame);
      core.applyMemWrites(frame, task);
      return frame.kind !== EventKind.patchAfterSyscall;
    case Action.trap:
      if (!trapMatches(frame.registers, core.registers(task))) return true;
      core.loadRegisters(task, frame);
      core.applyMemWrites(frame, task);
      return false;
    case Action.arrive:
      return arrive(core, task, frame, step);
    case Action.faultSignal:
      loadSignalVectors(core, task, frame);
      // Where a restartable sequence was interrupted, its rseq_cs.
      core.applyMemWrites(frame, task);
      return true;
    case Action.retire:
      task.dying = true;
      return false;
    case Action.deliverSignal:
      deliverSignal(core, task, frame);
      return false;
    case Action.enterHandler:
      enterHandler(core, task, frame);
      return false;
    default:
      performBuffer(core, task, frame, step);
      return false;
  }
}

function performBuffer(core: ReplayCore, task: Task, frame: TraceFrame, step: ReplayStep): void {
  switch (step.action) {
    case Action.growMap:
      return growMap(core, task, frame);
    case Action.flushBuffer:
      finishFlush(core, task, frame);
      // Known only if ticks are counted: a task that will not reach the place where the buffer was flushed.
      if (core.header.quirks.bufferedSyscallForcedTick && task.ticks >= 0 && frame.ticks <= task.ticks)
        task.skipNextExecution = true;
      return;
    case Action.resetBuffer:
      return resetBuffer(core, task);
    case Action.abortCommit:
      abortCommit(task, frame);
      return core.applyMemWrites(frame, task);
    case Action.exitTask:
      return exitTask(core, task, frame);
    default:
      return invariant(false, `no action ${step.action}`);
  }
}

function enterSyscall(core: ReplayCore, task: Task, frame: TraceFrame, step: ReplayStep): boolean {
  if (step.goal !== Goal.none) markEntered(core, task, getUnsigned(frame.registers, Reg.rip));
  performEntry(core, task, frame);
  return true;
}

/** The system call was not executed: back on its instruction, with the registers that entering would leave. */
function patchSyscall(core: ReplayCore, task: Task, frame: TraceFrame): boolean {
  const registers = core.registers(task);
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) - SYSCALL_LENGTH);
  setSigned(registers, Reg.orig_rax, -1);
  core.canonicaliseSyscall(registers);
  mapPatchPages(core, task, frame);
  core.applyMemWrites(frame, task);
  return true;
}

/** An asynchronous event: registers were compared to find it. */
function arrive(core: ReplayCore, task: Task, frame: TraceFrame, step: ReplayStep): boolean {
  if (step.goal === Goal.target) {
    abortRestartableSequence(core, task, frame.kind === EventKind.sched ? 'sched' : 'signal');
  }
  loadSignalVectors(core, task, frame);
  core.applyMemWrites(frame, task);
  return false;
}

/**
 * rr from 5.7 records it at signals. It is the program's state, except for parts in which
 * processors differ and which `differingVectors` does not compare.
 */
function loadSignalVectors(core: ReplayCore, task: Task, frame: TraceFrame): void {
  if (frame.kind === EventKind.signal && frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
}

/** exit: futex words and the cleared tid are memory writes; then the task is deleted (rr-traces.md 5.7). */
function exitTask(core: ReplayCore, task: Task, frame: TraceFrame): void {
  core.applyMemWrites(frame, task);
  const event = core.trace.nextTaskEvent(frame.frameTime);
  if (event?.kind === 'exit') {
    if (task.tid === core.firstTid) core.exitStatus = event.exitStatus;
    if (task.tid === task.group.tgid) task.group.status = event.exitStatus;
  }
  if (core.notesFiles) noteEnd(task, task.group.status ?? 0);
  core.log.debug({ frame: frame.frameTime, tid: task.tid, status: core.exitStatus }, 'exit');
  core.removeTask(task);
}

/** The one place where replay is compared with the recording. */
function verify({ core, diverge }: ReplayContext, task: Task, frame: TraceFrame): void {
  if (task.dying || !frame.hasRegisters) return;
  if (registersMatch(frame.registers, core.registers(task))) return;
  throw diverge({ summary: 'registers differ from the recorded ones' });
}
