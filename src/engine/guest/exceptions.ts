/**
 * Classifies exceptions of the guest, in a replay or a diversion: a debugger's breakpoints and
 * watched pages, page faults to fill, or a signal of the program.
 */
import { offsetBy, wordsToGva, type Gva } from '../base/address.js';
import { Signal, SignalCode } from '../base/linux.js';
import { Reg, ripOf, setSigned } from '../base/registers.js';
import type { Exit } from '../kvm/exit.js';
import type { Task } from '../task/task.js';
import { DR6_STEP, EFLAGS_RESUME, Exception, INT1_OPCODE } from '../x86/constants.js';
import type { GuestCore } from './guest-core.js';
import type { GuestStops } from './stops/guest-stops.js';
import type { ValueWatches } from './stops/value-watches.js';

/** The signal that Linux makes of an exception. */
export interface ExceptionSignal {
  readonly signal: number;
  /** si_code; of a page fault and of a floating-point exception it depends on more. */
  readonly code: number;
  /** si_addr is the instruction's address; else 0. */
  readonly atRip: boolean;
}

const from = (signal: number, code: number, atRip = false): ExceptionSignal => ({ signal, code, atRip });

/** By vector (arch/x86/kernel/traps.c). #PF and #DB are not among them: see `pageFault` and `debugException`. */
const SIGNALS: Readonly<Record<number, ExceptionSignal>> = {
  [Exception.DE]: from(Signal.FPE, SignalCode.intDiv, true),
  [Exception.BP]: from(Signal.TRAP, SignalCode.kernel),
  [Exception.OF]: from(Signal.SEGV, SignalCode.kernel),
  [Exception.BR]: from(Signal.SEGV, SignalCode.kernel),
  [Exception.UD]: from(Signal.ILL, SignalCode.illegalOperand, true),
  // Tiles (AMX) without permission (arch/x86/kernel/traps.c, handle_xfd_event).
  [Exception.NM]: from(Signal.ILL, SignalCode.illegalOpcode, true),
  [Exception.NP]: from(Signal.BUS, SignalCode.kernel),
  [Exception.SS]: from(Signal.BUS, SignalCode.kernel),
  [Exception.GP]: from(Signal.SEGV, SignalCode.kernel),
  [Exception.MF]: from(Signal.FPE, 0, true),
  [Exception.AC]: from(Signal.BUS, SignalCode.alignment),
  [Exception.XM]: from(Signal.FPE, 0, true),
};

/** The signal of an exception that is not handled otherwise, or undefined: no program can cause it. */
export const signalOfException = (vector: number): ExceptionSignal | undefined => SIGNALS[vector];

/**
 * Runs the task with a debugger's stops armed. After Exit.Pending the caller must still disarm them.
 * @param finds watchpoints that copies of the code find, which are executed
 */
export function enterGuest(
  { machine }: GuestCore,
  stops: GuestStops | null,
  task: Task,
  budgetMicros: number,
  finds: ValueWatches | null = null,
): Exit {
  stops?.arm(task, finds);
  task.space.stale.flushBy(machine.context);
  return machine.run(budgetMicros);
}

/** `guard`: the instruction accesses a watched page, and must be single-stepped. `filled`: the page is now mapped. */
export type PageFaultCause = 'guard' | 'filled' | 'fault';

export function pageFault(core: GuestCore, stops: GuestStops | null, task: Task): PageFaultCause {
  const { cr2Low, cr2High, errorCode } = core.machine.context;
  const address = wordsToGva(cr2Low, cr2High);
  if (stops?.isGuard(task, address, errorCode)) {
    stops.beginAccess(task, address, errorCode);
    return 'guard';
  }
  return task.space.fault(address, errorCode) ? 'filled' : 'fault';
}

/**
 * `step`: the trap flag's. `watch`: data breakpoints, `context.dataBreakpoints` of DR6. `claimed`:
 * a breakpoint register that the engine set by number. `breakpoint`: a debugger's. `int1`: the
 * program's. `stray`: no owner, and the program continues.
 */
export type DebugCause = 'step' | 'watch' | 'claimed' | 'breakpoint' | 'int1' | 'stray';

export function debugException(core: GuestCore, stops: GuestStops | null, task: Task): DebugCause {
  const { context } = core.machine;
  const { dr6, registers } = context;
  if (dr6 & DR6_STEP) return 'step';
  if (stops && dr6 & context.dataBreakpoints) return 'watch';
  const rip = ripOf(registers);
  if (context.hasBreakpoint(rip)) return 'claimed';
  if (stops?.stopsAt(task, rip)) return 'breakpoint';
  if (isInt1(task, offsetBy(rip, -1))) return 'int1';
  // The emulator keeps the breakpoints of a guest that was killed while they were armed.
  registers[2 * Reg.eflags] |= EFLAGS_RESUME;
  return 'stray';
}

/** The emulator raises #UD at INT1: then it is as processors have it, #DB after it. */
export function passInt1(core: GuestCore, task: Task): boolean {
  const { registers } = core.machine.context;
  const rip = ripOf(registers);
  if (!isInt1(task, rip)) return false;
  setSigned(registers, Reg.rip, rip + 1);
  return true;
}

/** After #BP: whether the instruction was a debugger's; the task is then back before it. */
export function leaveInt3(core: GuestCore, stops: GuestStops | null, task: Task): boolean {
  const { registers } = core.machine.context;
  const address = offsetBy(ripOf(registers), -1);
  if (!stops?.stopsAt(task, address)) return false;
  setSigned(registers, Reg.rip, address);
  return true;
}

const byte = new Uint8Array(1);

const isInt1 = (task: Task, at: Gva): boolean =>
  at >= 0 && task.space.read(at, byte) === 1 && byte[0] === INT1_OPCODE;
