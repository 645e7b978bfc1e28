import { hex, type Gva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { SIGNAL_NAMES } from '../base/linux.js';
import { Reg } from '../base/registers.js';
import { EventKind, type TraceFrame } from '../trace/frame.js';
import type { Task } from '../task/task.js';
import type { PerformContext } from './perform.js';
import { ripOf, Stop } from './runner.js';
import { Goal, type ReplayStep } from './step.js';
import { registersMatch, stateMatches } from './verify.js';

/** 'running': the guest was left running. 'yielded': it stands, but the event loop should have a turn. */
export type Reach = 'reached' | 'running' | 'yielded';

const EFLAGS_RESUME = 1 << 16;
const SYSCALL_LENGTH = 2;
const EVENT_BREAKPOINT = 0;
const HOOK_BREAKPOINT = 1;
/** Breakpoint hits in one turn: some ten milliseconds at the emulated machine's exit cost. */
const HITS_A_TURN = 128;
/** A trapped instruction ends at most this far behind its start. */
const MAX_INSTRUCTION = 15;

/**
 * Runs a task to the event of its frame. Anything else that stops it first is a divergence.
 * @param resuming the previous call for this frame returned 'running' or 'yielded'
 */
export function reachGoal(
  { core, runner, diverge }: PerformContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  budgetMicros: number,
  resuming: boolean,
): Reach {
  const context = core.machine.context;
  const breaking = step.goal === Goal.address || step.goal === Goal.target;
  if (!resuming) {
    core.activate(task);
    if (isThere(task, frame, step, context.registers)) return 'reached';
    if (breaking) armBreakpoints(context, frame, step);
  }
  for (let hits = 0; hits < HITS_A_TURN; hits++) {
    const stop = runner.run(task, budgetMicros);
    if (stop === Stop.pending) return 'running';
    if (stop === Stop.yielded) return 'yielded';
    if (isEvent(task, frame, step, stop, runner.signal, context.registers)) {
      if (breaking) disarm(context);
      return 'reached';
    }
    if (!breaking || stop !== Stop.breakpoint) {
      if (breaking) disarm(context);
      throw diverge({
        summary: 'the program did not come to the recorded event',
        expected: describeGoal(step),
        found: describeStop(stop, runner.signal, runner.address, ripOf(context.registers)),
      });
    }
    // Not yet: execute the instruction under the breakpoint and go on (SDM vol. 3, 17.3.1.1).
    context.registers[2 * Reg.eflags] |= EFLAGS_RESUME;
  }
  return 'yielded';
}

type Context = PerformContext['core']['machine']['context'];

function armBreakpoints(context: Context, frame: TraceFrame, step: ReplayStep): void {
  if (step.address < 0) {
    throw new RevenantError('E_TRACE_CORRUPT', `Frame ${frame.frameTime}: an event at no user address.`);
  }
  context.setBreakpoint(EVENT_BREAKPOINT, step.address as Gva);
  if (frame.kind === EventKind.sched && frame.inSyscallbufSyscallHook !== 0n) {
    context.setBreakpoint(HOOK_BREAKPOINT, Number(frame.inSyscallbufSyscallHook) as Gva);
  }
}

function disarm(context: Context): void {
  context.setBreakpoint(EVENT_BREAKPOINT, null);
  context.setBreakpoint(HOOK_BREAKPOINT, null);
}

/** Without running: the task stands where the event happened. */
function isThere(task: Task, frame: TraceFrame, step: ReplayStep, registers: Context['registers']): boolean {
  if (step.goal === Goal.target)
    return task.recTicks === frame.ticks && stateMatches(frame.registers, registers);
  if (step.goal === Goal.address) return ripOf(registers) === step.address;
  // Several signals at one point (notes 8.2).
  if (step.goal === Goal.fault)
    return task.recTicks === frame.ticks && registersMatch(frame.registers, registers);
  return false;
}

function isEvent(
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  stop: Stop,
  signal: number,
  registers: Context['registers'],
): boolean {
  const rip = ripOf(registers);
  switch (step.goal) {
    case Goal.syscall:
      return stop === Stop.syscall && rip === step.address;
    case Goal.trap:
      return stop === Stop.trap && rip < step.address && step.address - rip <= MAX_INSTRUCTION;
    case Goal.fault:
      return (stop === Stop.fault && signal === step.signal) || isTrapSignal(stop, step);
    case Goal.flush:
      return stop === Stop.flush;
    case Goal.address:
      return stop === Stop.breakpoint && rip === step.address;
    case Goal.target:
      return isTarget(task, frame, step, stop, registers);
    default:
      return false;
  }
}

/** A program that disabled RDTSC or CPUID for itself has real SIGSEGV frames at them. */
function isTrapSignal(stop: Stop, step: ReplayStep): boolean {
  return stop === Stop.trap && SIGNAL_NAMES[step.signal] === 'SIGSEGV';
}

function isTarget(
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  stop: Stop,
  registers: Context['registers'],
): boolean {
  const rip = ripOf(registers);
  const dying = frame.kind === EventKind.sched && frame.inSyscallbufSyscallHook !== 0n;
  if (dying) {
    // Only the exit follows: the recorded registers may be unreliable (notes 8.5).
    task.dying = true;
    if (stop === Stop.breakpoint)
      return rip === step.address || BigInt(rip) === frame.inSyscallbufSyscallHook;
    return stop === Stop.syscall;
  }
  return stop === Stop.breakpoint && rip === step.address && stateMatches(frame.registers, registers);
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
