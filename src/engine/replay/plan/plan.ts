import { wordsToGva } from '../../base/address.js';
import { SEGV_PKUERR, Signal, Sys, TRAP_HWBKPT, SignalCode } from '../../base/linux.js';
import { Reg, getSigned } from '../../base/registers.js';
import { code32Error } from '../../trace/code32.js';
import { Arch, EventKind, SyscallState, type TraceFrame } from '../../trace/frame.js';
import { RevenantError } from '../../base/errors.js';
import { UNTRACED_EXITS } from '../../guest/rr-abi.js';
import { Action, Goal, type ReplayStep } from './step.js';
import { SYSCALL_LENGTH } from '../../x86/constants.js';

/** Frames of these kinds do not contain the task's position. */
const BOOKKEEPING: ReadonlySet<number> = new Set<number>([
  EventKind.syscallbufFlush,
  EventKind.syscallbufReset,
  EventKind.syscallbufAbortCommit,
  EventKind.growMap,
]);

/** Whether a frame can occur between `enteringPtrace` and `entering` of one system call. */
export const isBookkeeping = (frame: TraceFrame): boolean => BOOKKEEPING.has(frame.kind);

/** Inputs of planning besides the frame. */
export interface PlanState {
  /** The first program was executed: before that nothing runs (rr-traces.md 4.1). */
  readonly started: boolean;
  /** The previous frame of this task was `enteringPtrace` of this system call: it is already in it. */
  readonly entered: boolean;
  /** Retire the next execution without running (rr-traces.md 7.6, step 5). */
  readonly skipExecution: boolean;
  /** Nothing between this frame and the next frame can observe where exactly it happened. */
  readonly elidable: boolean;
}

/**
 * Determines the step of a frame. Pure: no guest, no trace cursor.
 * @throws RevenantError E_UNSUPPORTED for frames of 32-bit tasks
 */
export function planStep(frame: TraceFrame, state: PlanState, step: ReplayStep): void {
  step.goal = Goal.none;
  step.address = -1;
  step.signal = 0;
  if (frame.hasRegisters && frame.arch !== Arch.x8664) throw code32Error(frame);
  if (!state.started && !isExecExit(frame)) {
    step.action = Action.skip;
    return;
  }
  if (frame.kind === EventKind.syscall && frame.syscallArch !== Arch.x8664) {
    throw new RevenantError(
      'E_UNSUPPORTED',
      `Frame ${frame.frameTime}: task ${frame.tid} makes a 32-bit system call.`,
      'Revenant replays 64-bit system calls only.',
    );
  }
  planEvent(frame, state, step);
  if (!state.skipExecution) return;
  step.goal = Goal.none;
  if (isExecution(frame)) step.action = Action.retire;
}

/** A successful execve or execveat: the frame from which a program exists. */
export function isExecExit(frame: TraceFrame): boolean {
  return (
    frame.kind === EventKind.syscall &&
    frame.syscallState === SyscallState.exiting &&
    (frame.syscallNumber === Sys.execve || frame.syscallNumber === Sys.execveat) &&
    getSigned(frame.registers, Reg.rax) === 0
  );
}

const isExecution = ({ kind }: TraceFrame): boolean =>
  kind === EventKind.sched || kind === EventKind.signal || kind === EventKind.syscall;

function planEvent(frame: TraceFrame, state: PlanState, step: ReplayStep): void {
  switch (frame.kind) {
    case EventKind.syscall:
      return planSyscall(frame, state, step);
    case EventKind.instructionTrap:
      return set(step, Action.trap, Goal.trap, ripOf(frame));
    case EventKind.patchSyscall:
      return set(step, Action.patchSyscall, Goal.syscall, ripOf(frame) + SYSCALL_LENGTH);
    case EventKind.patchVsyscall:
    case EventKind.patchTrappingInstruction:
      return set(step, Action.patchMemory, Goal.address, ripOf(frame));
    case EventKind.patchAfterSyscall:
      return set(step, Action.patchMemory, Goal.none, -1);
    case EventKind.sched:
      return set(step, Action.arrive, state.elidable ? Goal.none : Goal.target, ripOf(frame));
    case EventKind.signal:
      return planSignal(frame, step);
    case EventKind.signalDelivery:
      return set(step, Action.deliverSignal, Goal.none, -1);
    case EventKind.signalHandler:
      return set(step, Action.enterHandler, Goal.none, -1);
    case EventKind.growMap:
      return set(step, Action.growMap, Goal.none, -1);
    case EventKind.syscallbufFlush:
      return set(step, Action.flushBuffer, Goal.flush, -1);
    case EventKind.syscallbufReset:
      return set(step, Action.resetBuffer, Goal.none, -1);
    case EventKind.syscallbufAbortCommit:
      return set(step, Action.abortCommit, Goal.none, -1);
    case EventKind.exit:
      return set(step, Action.exitTask, Goal.none, -1);
  }
}

function planSyscall(frame: TraceFrame, state: PlanState, step: ReplayStep): void {
  if (frame.syscallState === SyscallState.exiting) {
    return set(step, isExecExit(frame) ? Action.exitExec : Action.exitSyscall, Goal.none, -1);
  }
  if (frame.syscallNumber === Sys.restart_syscall) return set(step, Action.restartSyscall, Goal.none, -1);
  if (state.entered) return set(step, Action.enterSyscall, Goal.none, -1);
  const rip = ripOf(frame);
  if (UNTRACED_EXITS.includes(rip)) return set(step, Action.enterSyscall, Goal.address, rip - SYSCALL_LENGTH);
  set(step, Action.enterSyscall, Goal.syscall, rip);
}

function planSignal(frame: TraceFrame, step: ReplayStep): void {
  if (!isRaised(frame)) return set(step, Action.arrive, Goal.target, ripOf(frame));
  set(step, Action.faultSignal, Goal.fault, ripOf(frame));
  step.signal = signalOf(frame).number;
}

/**
 * Whether the program's own instruction raises the signal at replay, too. Truncated files, protection keys and what a
 * debugger of the recorded program put into debug registers are not reproduced: their signals are met before they
 * happen, like asynchronous ones (rr-traces.md 8.2).
 */
export function isRaised(frame: TraceFrame): boolean {
  if (!frame.deterministic) return false;
  const { number, code } = signalOf(frame);
  switch (number) {
    case Signal.BUS:
      return false;
    case Signal.SEGV:
      return code !== SEGV_PKUERR;
    case Signal.TRAP:
      return code !== TRAP_HWBKPT;
    default:
      return true;
  }
}

/** Whether a signal's place may have to be found by registers: floating-point exceptions may be omitted here. */
export function isFoundByRegisters(frame: TraceFrame): boolean {
  const { number, code } = signalOf(frame);
  return !isRaised(frame) || (number === Signal.FPE && code !== SignalCode.intDiv);
}

/** Signal and si_code of a signal frame. */
export function signalOf({ siginfo }: TraceFrame): { number: number; code: number } {
  if (siginfo.byteLength < 12) return { number: 0, code: 0 };
  const info = new DataView(siginfo.buffer, siginfo.byteOffset, siginfo.byteLength);
  return { number: info.getInt32(0, true), code: info.getInt32(8, true) };
}

function ripOf(frame: TraceFrame): number {
  return wordsToGva(frame.registers[2 * Reg.rip], frame.registers[2 * Reg.rip + 1]);
}

function set(step: ReplayStep, action: Action, goal: Goal, address: number): void {
  step.action = action;
  step.goal = goal;
  step.address = address;
}
