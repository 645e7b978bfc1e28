import { USER_END, hex, gva } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { SIGNAL_NAMES } from '../../base/linux.js';
import { Reg, ripOf } from '../../base/registers.js';
import { EFLAGS_RESUME, SYSCALL_LENGTH } from '../../x86/constants.js';
import { isRepeatedString } from '../../x86/decode.js';
import { EventKind, type TraceFrame } from '../../trace/frame.js';
import { hasExactTicks } from '../../trace/ticks.js';
import type { Task } from '../../task/task.js';
import type { ReplayContext } from './context.js';
import { Stop } from '../run/runner.js';
import { isInterrupted, restartCall } from '../syscalls/restart.js';
import { Goal, type ReplayStep } from '../plan/step.js';
import { Aim, type TickStrategy } from '../ticks/strategy.js';
import { isOtherRefusal, stepLifted, tryFault, undoWildBranch, unraisedOf } from './unraised.js';
import { registersMatch, stateMatches } from '../plan/verify.js';

/**
 * 'running': the guest is still running. 'yielded': it is stopped, but the event loop should get a
 * turn. 'stopped': the listener wants control. 'staged': the program made staged calls, and is past
 * this frame.
 */
export type Reach = 'reached' | 'running' | 'yielded' | 'stopped' | 'staged';

/**
 * Stops in one turn: some milliseconds at the emulated machine's exit cost, so that an interrupt is noticed in time.
 */
const STOPS_A_TURN = 32;
/** A trapped instruction ends at most this many bytes after its start. */
const MAX_INSTRUCTION = 15;

/**
 * Runs a task to the event of its frame. Anything else that stops it first is a divergence.
 * @param resuming the previous call for this frame returned 'running' or 'yielded'
 */
export function reachGoal(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  budgetMicros: number,
  resuming: boolean,
): Reach {
  const { strategy, listener } = context;
  const { registers } = context.core.machine.context;
  const limit = tickLimit(strategy, task, frame);
  if (!resuming && beginsThere(context, task, frame, step, limit)) return 'reached';
  for (let stops = 0; stops < STOPS_A_TURN; stops++) {
    const isSingleStep = listener?.singleStep ?? false;
    if (isSingleStep && context.stepper.settled && isLanding(context, task, frame, step, limit)) {
      listener?.ended();
      if (listener?.arriving(frame, task)) return 'stopped';
      return reached(strategy);
    }
    let stop = isSingleStep
      ? stepAlone(context, task, frame, step, limit, budgetMicros)
      : runCounted(context, task, frame, step, limit, budgetMicros);
    if (stop === Stop.pending) return 'running';
    if (stop === Stop.yielded) return 'yielded';
    if (stop === Stop.staged) return 'staged';
    if (listener) {
      listener.singleStep = false;
      if (isListeners(stop, isSingleStep)) {
        if (isMatched(context, step) && task.ticks === limit) watch(context, frame, step);
        if (listener.stopped(stop, task)) return 'stopped';
        continue;
      }
      listener.ended();
    }
    if (stop === Stop.ticks) {
      if (listener?.ticked(task)) return 'stopped';
      if (isThere(context, task, frame, step)) return reached(strategy);
      if (isMatched(context, step)) watch(context, frame, step);
      continue;
    }
    for (;;) {
      stop = asProcessorsStop(context, task, frame, step, limit, stop);
      if (isEvent(context, task, frame, step, stop)) {
        if (isBreaking(step) && !isDying(frame) && listener?.arriving(frame, task)) return 'stopped';
        return reached(strategy);
      }
      if (stop !== Stop.breakpoint || !isInterruptible(context, task, frame, step)) break;
      stop = context.runner.stops?.stopsAt(task, ripOf(registers)) ? Stop.user : stepOnTarget(context, task);
    }
    if (listener && isListeners(stop, false)) {
      if (listener.stopped(stop, task)) return 'stopped';
      continue;
    }
    if (stop === Stop.overrun) throw passedTicks(context, task, frame, step);
    // The instruction was executed to find out.
    if (stop === Stop.step && context.unraised !== 'none') continue;
    if (!isWatched(context, step) || stop !== Stop.breakpoint) throw notReached(context, frame, step, stop);
    // Not yet: execute the instruction under the breakpoint and continue.
    registers[2 * Reg.eflags] |= EFLAGS_RESUME;
  }
  return 'yielded';
}

/** At full speed; no farther than the frame's ticks, and than the listener's. */
function runCounted(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
  budgetMicros: number,
): Stop {
  const { strategy, listener } = context;
  const wanted = strategy.counts ? (listener?.tickLimit(task) ?? Infinity) : Infinity;
  if (wanted > limit || wanted === Infinity)
    return strategy.run(task, limit, budgetMicros, aimOf(context, frame, step));
  return strategy.run(task, wanted, budgetMicros, Aim.byTicks);
}

/** Prepares the task to run to the event, unless it is already there. */
function beginsThere(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
): boolean {
  const { core, listener } = context;
  core.activate(task);
  if (isInterrupted(core, task) && !isThere(context, task, frame, step)) restartCall(core, task);
  listener?.starts(task);
  if (isThere(context, task, frame, step)) return true;
  if (task.ticks > limit) throw passedTicks(context, task, frame, step);
  context.unraised = unraisedOf(context, task, frame, step);
  // While ticks are missing the target address need not be checked.
  if (!isMatched(context, step) || isDying(frame) || task.ticks === limit || limit === Infinity)
    watch(context, frame, step);
  return false;
}

/** An iteration of the repeated instruction at the target. */
const stepOnTarget = (context: ReplayContext, task: Task): Stop => toBreakpoint(stepLifted(context, task));

/** `tryFault` if the program is at a fault that this machine may omit; else Stop.breakpoint. */
function tryHere(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
): Stop {
  const { unraised = 'none' } = context;
  if (unraised === 'none' || (limit !== Infinity && task.ticks !== limit)) return Stop.breakpoint;
  if (ripOf(context.core.machine.context.registers) !== step.address) return Stop.breakpoint;
  return tryFault(context, task, frame, step, unraised);
}

const toBreakpoint = (stop: Stop): Stop => (stop === Stop.step ? Stop.breakpoint : stop);

/** Stops for the listener. */
const isListeners = (stop: Stop, isSingleStep: boolean): boolean =>
  stop === Stop.user ||
  stop === Stop.watch ||
  stop === Stop.guard ||
  (isSingleStep && (stop === Stop.step || stop === Stop.served));

/** While single-stepping no breakpoint reports the event's place. */
function isLanding(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
): boolean {
  if (!isBreaking(step) || (limit !== Infinity && task.ticks !== limit)) return false;
  const rip = ripOf(context.core.machine.context.registers);
  const isAtHook = isDying(frame) && BigInt(rip) === frame.inSyscallbufSyscallHook;
  if (rip !== step.address && !isAtHook) return false;
  return step.goal === Goal.address || isTarget(context, task, frame, step, Stop.breakpoint);
}

/**
 * A stop where a processor would have it: at a fault that this machine omits, and at a branch that a processor does not
 * take.
 */
function asProcessorsStop(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
  stop: Stop,
): Stop {
  if (stop === Stop.breakpoint) return arriveAtFault(context, task, frame, step, limit);
  if (stop === Stop.fault && step.goal === Goal.fault) undoWildBranch(context, task, frame);
  return stop;
}

/** One instruction; a fault that would be omitted is detected before it. */
function stepAlone(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
  budgetMicros: number,
): Stop {
  const tried = context.stepper.settled ? tryHere(context, task, frame, step, limit) : Stop.breakpoint;
  return tried === Stop.breakpoint ? context.stepper.step(task, limit, budgetMicros) : tried;
}

/**
 * At the breakpoint of a fault that may be omitted. A debugger's breakpoint there comes first, as before other faults.
 */
function arriveAtFault(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  limit: number,
): Stop {
  if (context.unraised === 'none') return Stop.breakpoint;
  const rip = ripOf(context.core.machine.context.registers);
  if (context.runner.stops?.stopsAt(task, rip)) return Stop.user;
  return tryHere(context, task, frame, step, limit);
}

const isBreaking = (step: ReplayStep): boolean => step.goal === Goal.address || step.goal === Goal.target;

/** The event's place is identified by its registers, at its tick. */
const isMatched = ({ unraised }: ReplayContext, step: ReplayStep): boolean =>
  step.goal === Goal.target || unraised !== 'none';

/** The event's address has a breakpoint. */
const isWatched = (context: ReplayContext, step: ReplayStep): boolean =>
  isBreaking(step) || isMatched(context, step);

const isDying = (frame: TraceFrame): boolean =>
  frame.kind === EventKind.sched && frame.inSyscallbufSyscallHook !== 0n;

/** The frame's ticks if they are a program point and the task's are known; else none. */
function tickLimit(strategy: TickStrategy, task: Task, frame: TraceFrame): number {
  return strategy.counts && task.ticks >= 0 && hasExactTicks(frame) ? frame.ticks : Infinity;
}

/** Nothing after a dying task's event may be executed. */
function aimOf(context: ReplayContext, frame: TraceFrame, step: ReplayStep): number {
  if (!isMatched(context, step)) return Aim.byItself;
  return isDying(frame) ? Aim.byTicks : step.address;
}

/** Has the strategy stop where the event may be. */
export function watch(context: ReplayContext, frame: TraceFrame, step: ReplayStep): void {
  if (!isWatched(context, step)) return;
  if (step.address < 0) {
    throw new RevenantError('E_TRACE_CORRUPT', `Frame ${frame.frameTime}: an event at no user address.`);
  }
  const hook = isDying(frame) ? Number(frame.inSyscallbufSyscallHook) : -1;
  context.strategy.watch(step.address, hook < USER_END ? hook : -1);
}

function reached(strategy: TickStrategy): Reach {
  strategy.watch(-1, -1);
  return 'reached';
}

/**
 * Whether the instruction under the target can be left in its middle: a repeated string instruction, of
 * which a breakpoint shows the beginning only (rr-traces.md 8.3).
 */
function isInterruptible({ core }: ReplayContext, task: Task, frame: TraceFrame, step: ReplayStep): boolean {
  if (step.goal !== Goal.target || isDying(frame) || ripOf(core.machine.context.registers) !== step.address)
    return false;
  const code = new Uint8Array(MAX_INSTRUCTION);
  return isRepeatedString(code.subarray(0, task.space.read(gva(step.address), code)));
}

function passedTicks(context: ReplayContext, task: Task, frame: TraceFrame, step: ReplayStep): RevenantError {
  context.strategy.cancel();
  return context.diverge({
    summary: 'the program ran past the recorded number of ticks',
    expected: `${describeGoal(step)} at ${frame.ticks} ticks`,
    found: `${task.ticks} ticks, and a conditional branch that would be one more${nearMissText(context, frame)}`,
    foundTicks: task.ticks,
  });
}

function notReached(context: ReplayContext, frame: TraceFrame, step: ReplayStep, stop: Stop): RevenantError {
  const { core, runner } = context;
  context.strategy.cancel();
  const rip = ripOf(core.machine.context.registers);
  return context.diverge({
    summary: 'the program did not reach the recorded event',
    expected: describeGoal(step),
    found: describeStop(stop, runner.signal, runner.address, rip) + nearMissText(context, frame),
  });
}

function nearMissText({ nearMiss }: ReplayContext, frame: TraceFrame): string {
  if (nearMiss?.frameTime !== frame.frameTime) return '';
  return `; the place was passed with other values in ${nearMiss.differing.join(', ')}`;
}

/** Without running: the task is already at the event. */
function isThere(context: ReplayContext, task: Task, frame: TraceFrame, step: ReplayStep): boolean {
  const { registers } = context.core.machine.context;
  const ticks = task.ticks >= 0 ? task.ticks : task.recTicks;
  if (step.goal === Goal.address) return ripOf(registers) === step.address;
  if (ticks !== frame.ticks) return false;
  if (step.goal === Goal.target) {
    return isDying(frame) ? ripOf(registers) === step.address : isRecordedState(context, frame);
  }
  // Several signals at one point (rr-traces.md 8.2).
  return step.goal === Goal.fault && registersMatch(frame.registers, registers);
}

function isEvent(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  stop: Stop,
): boolean {
  const { core, runner } = context;
  const rip = ripOf(core.machine.context.registers);
  switch (step.goal) {
    case Goal.syscall:
      return stop === Stop.syscall && rip === step.address;
    case Goal.trap:
      return stop === Stop.trap && rip < step.address && step.address - rip <= MAX_INSTRUCTION;
    case Goal.fault:
      if (stop !== Stop.fault) return isTrapSignal(stop, step);
      return runner.signal === step.signal || isOtherRefusal(context, frame, step);
    case Goal.flush:
      return stop === Stop.flush;
    case Goal.address:
      return stop === Stop.breakpoint && rip === step.address;
    case Goal.target:
      return isTarget(context, task, frame, step, stop);
    default:
      return false;
  }
}

/** A program that disabled RDTSC or CPUID for itself has real SIGSEGV frames at them. */
function isTrapSignal(stop: Stop, step: ReplayStep): boolean {
  return stop === Stop.trap && SIGNAL_NAMES[step.signal] === 'SIGSEGV';
}

function isTarget(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  stop: Stop,
): boolean {
  const rip = ripOf(context.core.machine.context.registers);
  if (isDying(frame)) {
    // Only the exit follows: the recorded registers may be unreliable (rr-traces.md 8.5).
    task.dying = true;
    if (stop !== Stop.breakpoint) return stop === Stop.syscall || stop === Stop.overrun;
    return rip === step.address || BigInt(rip) === frame.inSyscallbufSyscallHook;
  }
  return stop === Stop.breakpoint && rip === step.address && isRecordedState(context, frame);
}

/**
 * All registers are the frame's: rr from 5.7 records vector registers with signals, for loops that change nothing
 * else. They are compared only if the others agree: that costs an exit.
 */
function isRecordedState(context: ReplayContext, frame: TraceFrame): boolean {
  const { core } = context;
  if (!stateMatches(frame.registers, core.machine.context.registers)) return false;
  if (!frame.extraRegisters) return true;
  const differing = core.vectors.differences(frame.extraRegisters);
  if (differing.length > 0) context.nearMiss = { frameTime: frame.frameTime, differing };
  return differing.length === 0;
}

function describeStop(stop: Stop, signal: number, address: number, rip: number): string {
  switch (stop) {
    case Stop.syscall:
      return `a system call at ${hex(rip - SYSCALL_LENGTH)}`;
    case Stop.trap:
      return `a trapped instruction at ${where(rip)}`;
    case Stop.fault: {
      const memory = address >= 0 ? `, touching ${hex(address)}` : '';
      return `${SIGNAL_NAMES[signal] ?? `signal ${signal}`} at ${where(rip)}${memory}`;
    }
    case Stop.flush:
      return `the flush point of the syscall buffer at ${where(rip)}`;
    default:
      return `a stop at ${where(rip)}`;
  }
}

const where = (rip: number): string => (rip < 0 ? 'no user address' : hex(rip));

function describeGoal(step: ReplayStep): string {
  switch (step.goal) {
    case Goal.syscall:
      return `a system call at ${hex(step.address - SYSCALL_LENGTH)}`;
    case Goal.trap:
      return `a trapped instruction that ends at ${where(step.address)}`;
    case Goal.fault:
      return `${SIGNAL_NAMES[step.signal] ?? `signal ${step.signal}`} at ${where(step.address)}`;
    case Goal.flush:
      return 'the flush point of the syscall buffer';
    default:
      return `arrival at ${where(step.address)} with the recorded registers`;
  }
}
