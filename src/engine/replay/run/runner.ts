import { hex, wordsToGva } from '../../base/address.js';
import { Signal } from '../../base/linux.js';
import { Reg, ripOf, setSigned } from '../../base/registers.js';
import { RevenantError } from '../../base/errors.js';
import type { GuestStops } from '../../guest/stops/guest-stops.js';
import { Exit } from '../../kvm/exit.js';
import { Selector, Vector } from '../../kvm/layout.js';
import { Insn, InstructionDecoder, MAX_INSTRUCTION_LENGTH } from '../../x86/decode.js';
import { Exception } from '../../x86/constants.js';
import { lastTurn } from '../../x86/repeated-string.js';
import type { Task } from '../../task/task.js';
import {
  debugException,
  enterGuest,
  leaveInt3,
  pageFault,
  passInt1,
  signalOfException,
} from '../../guest/exceptions.js';
import type { CountedEnd, CountedRun } from '../../guest/counted/counted-run.js';
import { completeInstruction, isRecorded, trapsAsRecorded } from '../../guest/completion.js';
import type { ReplayCore } from '../state/core.js';
import { PERFORMED_EXITS, RECORD_ONLY_EXITS, REPLAY_ASSIST_IP } from '../../guest/rr-abi.js';
import { assistReplay, noteBuffered, performUntraced } from './untraced.js';

/** Why tracee code stopped, in terms of the program. */
export const Stop = {
  /** The guest is still running: the budget is used up. */
  pending: 0,
  /** A system call instruction; rip is after it. */
  syscall: 1,
  /** An instruction that the recorder traps (RDTSC, CPUID under faulting...); rip is on it. */
  trap: 2,
  /** A fault that is a signal; rip as the processor left it. */
  fault: 3,
  /** An execution breakpoint of ours; the instruction at rip has not run. */
  breakpoint: 4,
  /** The flush point of the preload library. */
  flush: 5,
  /** A single step of ours. */
  step: 6,
  /** No relevant event, but many exits, so that the event loop should get a turn; the guest is stopped. */
  yielded: 7,
  /** With `ReplayRunner.stopAfterService`: an instruction or system call was performed here; rip is after it. */
  served: 8,
  /** Counting: right after the branch that reaches the tick limit. */
  ticks: 9,
  /** Counting: on a branch that would pass the tick limit. */
  overrun: 10,
  // With `ReplayRunner.stops`, a debugger's:
  /** On a breakpoint; the instruction at rip has not run. */
  user: 11,
  /** After an instruction that accessed memory watched by debug registers: `ReplayRunner.watchHits`. */
  watch: 12,
  /** On an instruction that touches a watched page: to be single-stepped (GuestStops.isGuard). */
  guard: 13,
  /** Executing copies: on an instruction that is to be executed by itself. */
  odd: 15,
  /** Staged calls were made; if the program did something else after that, the next run deals with it. */
  staged: 14,
} as const;
export type Stop = (typeof Stop)[keyof typeof Stop];

/**
 * Exits served in one turn. A program may cause any number of them (an instruction that is
 * completed here, in a loop), so without a limit the caller could not be interrupted.
 */
const EXITS_A_TURN = 512;

/**
 * Runs the task on the vCPU until something happens that the program or the recorder could notice.
 * Page faults that only fill pages, instructions that the processor lacks and calls without a frame are handled on the
 * way.
 */
export class ReplayRunner {
  /** An exit during a halt of the guest, to be handled by the next run. */
  private held: Exit | null = null;
  /** Watched memory had changed by then; the next run ends with that. */
  private heldChange = false;
  /** Exits of the vCPU so far. */
  exits = 0;
  pageFaults = 0;
  completed = 0;
  /** After Stop.fault. */
  signal = 0;
  /** After Stop.fault: the address of a page fault, or -1. */
  address = -1;
  vector = 0;
  /** After Stop.pending: the guest was interrupted and is stopped. */
  interrupted = false;
  /** For counting: called for instructions that the guest did not execute. */
  stopAfterService = false;
  /** For single-stepping: the trap flag is the engine's, not the program's. */
  stepping = false;
  /** The program executes copies of its code; null: the code itself. To be changed between runs only. */
  counted: CountedRun | null = null;
  /** A debugger's breakpoints and watchpoints. */
  stops: GuestStops | null = null;
  /** Bits of DR6 for the data breakpoints met since this was zeroed. */
  watchHits = 0;
  private readonly code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  private readonly decoder = new InstructionDecoder();

  constructor(private readonly core: ReplayCore) {}

  /** Keeps an exit for the next run. */
  hold(exit: Exit, task: Task | null): void {
    this.stops?.disarm();
    const end = this.counted?.leave(exit, true) ?? 'program';
    this.heldChange = task !== null && this.hasChanged(task);
    if (end === 'program' && exit !== Exit.Interrupted && exit !== Exit.Staged) this.held = exit;
  }

  /** Whether an exit is kept for the next run, which then begins with it. */
  get holds(): boolean {
    return this.held !== null;
  }

  /** Whether the next run ends with a change of watched memory that was seen already. */
  get holdsChange(): boolean {
    return this.heldChange;
  }

  /**
   * A kept exit means that the guest did something that is not handled yet. A page fault may be dropped: the
   * instruction will fault again.
   * @returns true if nothing is kept any more
   */
  forgetHeld(): boolean {
    if (this.held === Exit.Exception && this.core.machine.context.vector === Exception.PF) this.held = null;
    return this.held === null && !this.heldChange;
  }

  /** Drops a kept exit: the guest's state is about to be replaced. */
  dropHeld(): void {
    this.stops?.disarm();
    this.held = null;
    this.heldChange = false;
  }

  /** @param budgetMicros how long the guest may run before Stop.pending is returned */
  run(task: Task, budgetMicros: number): Stop {
    const { stops } = this;
    const { registers } = this.core.machine.context;
    if (this.heldChange) {
      this.heldChange = false;
      return Stop.watch;
    }
    if (stops && this.held === null && stops.stopsAt(task, ripOf(registers))) return Stop.user;
    for (let served = 0; served < EXITS_A_TURN; served++) {
      if (this.held === null && !this.enterCopy(task)) return Stop.odd;
      const exit = this.held ?? enterGuest(this.core, stops, task, budgetMicros, this.counted?.watched);
      this.interrupted = exit === Exit.Interrupted;
      this.held = null;
      if (exit === Exit.Pending) return Stop.pending;
      stops?.disarm();
      const end = this.counted?.leave(exit) ?? 'program';
      const isChanged = this.hasChanged(task);
      if (exit === Exit.Interrupted) return isChanged ? Stop.watch : Stop.pending;
      this.exits++;
      const isOfWrite = end !== 'program' || isDebug(this.core, exit);
      if (isChanged && !isOfWrite) this.held = exit;
      const stop = isChanged && !isOfWrite ? Stop.watch : this.afterExit(task, exit, end);
      // A step, or nothing, has changed it; or what was done for the program.
      const isWatch = (isChanged && stop !== Stop.fault) || (stop === Stop.pending && this.hasChanged(task));
      if (isWatch) return Stop.watch;
      if (stop !== Stop.pending) return this.behindStaged(stop, exit);
    }
    return Stop.yielded;
  }

  private hasChanged(task: Task): boolean {
    const { stops, core } = this;
    return stops !== null && stops.changedBy(task, core.machine.context.registers).length > 0;
  }

  private afterExit(task: Task, exit: Exit, end: CountedEnd): Stop {
    return end === 'program' ? this.serve(task, exit) : this.endOfCopy(task, end);
  }

  /** False where the next instruction has no copy. */
  private enterCopy(task: Task): boolean {
    const { counted } = this;
    return !counted || counted.isInside || counted.enter(task);
  }

  private endOfCopy(task: Task, end: CountedEnd): Stop {
    switch (end) {
      case 'limit':
        return Stop.overrun;
      case 'stop':
        return this.stops?.stopsAt(task, ripOf(this.core.machine.context.registers))
          ? Stop.user
          : Stop.breakpoint;
      case 'odd':
        return Stop.odd;
      default:
        return Stop.pending;
    }
  }

  /** Stop.pending: the program continues unaffected. */
  private serve(task: Task, exit: Exit): Stop {
    if (exit === Exit.Staged) return Stop.staged;
    if (exit === Exit.Exception) return this.exception(task);
    if (exit !== Exit.Syscall) throw this.lost(task);
    const rip = ripOf(this.core.machine.context.registers);
    if (RECORD_ONLY_EXITS.includes(rip)) noteBuffered(this.core, task);
    else if (!PERFORMED_EXITS.includes(rip) || !performUntraced(this.core, task)) return Stop.syscall;
    return this.stopAfterService ? Stop.served : Stop.pending;
  }

  /** A stop among staged calls belongs to a frame that the caller has not reached yet: it will be reported again. */
  private behindStaged(stop: Stop, exit: Exit): Stop {
    const { staged } = this.core.machine;
    if (staged.staged === 0 || stop === Stop.staged) return stop;
    if (staged.consumed === 0) {
      staged.clear();
      return stop;
    }
    this.held = exit;
    return Stop.staged;
  }

  private exception(task: Task): Stop {
    const context = this.core.machine.context;
    const vector = context.vector;
    this.vector = vector;
    this.address = -1;
    if (context.registers[2 * Reg.cs] !== Selector.userCs && vector < Vector.ring0)
      throw this.foreignCode(task);
    if (vector === Exception.PF) return this.pageFault(task);
    if (vector === Exception.DB) return this.debug(task);
    if (vector === Exception.UD && passInt1(this.core, task)) {
      this.vector = Exception.DB;
      return this.trapSignal();
    }
    if (vector === Exception.GP || vector === Exception.UD) {
      const stop = this.trapped(task, vector);
      if (stop !== Stop.fault) return stop;
    }
    // A recorded SIGILL of tiles is met by its address before.
    if (vector === Exception.NM && this.core.machine.allowTiles()) return Stop.pending;
    if (vector === Exception.BP && leaveInt3(this.core, this.stops, task)) return Stop.user;
    if (vector === Exception.BP && ripOf(context.registers) === REPLAY_ASSIST_IP) {
      assistReplay(this.core, task);
      return this.stopAfterService ? Stop.served : Stop.pending;
    }
    if (vector === Vector.int80) {
      throw new RevenantError(
        'E_UNSUPPORTED',
        `Task ${task.tid}: a 32-bit system call (int $0x80) at ${hex(ripOf(context.registers))}.`,
        'Revenant replays 64-bit system calls only.',
      );
    }
    const found = signalOfException(this.vector);
    if (!found) throw this.lost(task);
    this.signal = found.signal;
    return Stop.fault;
  }

  private pageFault(task: Task): Stop {
    const { context } = this.core.machine;
    const cause = pageFault(this.core, this.stops, task);
    if (cause === 'guard') return Stop.guard;
    if (cause === 'filled') {
      this.pageFaults++;
      return Stop.pending;
    }
    const address = wordsToGva(context.cr2Low, context.cr2High);
    // The flush point's load is of address -16 (rr-traces.md 7.6, step 3).
    if (address < 0 && isFlushPoint(task, ripOf(context.registers))) return Stop.flush;
    this.signal = Signal.SEGV;
    this.address = address;
    return Stop.fault;
  }

  private debug(task: Task): Stop {
    const { context } = this.core.machine;
    switch (debugException(this.core, this.stops, task)) {
      case 'step':
        return this.stepping ? Stop.step : this.trapSignal();
      case 'watch':
        return this.afterAccess(task, context.dr6 & context.dataBreakpoints);
      case 'claimed':
        return Stop.breakpoint;
      case 'breakpoint':
        return Stop.user;
      case 'int1':
        return this.trapSignal();
      case 'stray':
        return Stop.pending;
    }
  }

  /**
   * QEMU stops after the last iteration of a repeated string instruction with rip still on it,
   * where a processor is past the instruction: a position that no breakpoint or single step
   * reaches.
   */
  private afterAccess(task: Task, watched: number): Stop {
    this.watchHits |= watched;
    const { registers } = this.core.machine.context;
    const length = task.space.read(ripOf(registers), this.code);
    const turn = lastTurn(this.code.subarray(0, length), registers);
    if (turn && this.stops?.hitAt(watched, turn.addresses, turn.size))
      setSigned(registers, Reg.rip, ripOf(registers) + turn.length);
    return Stop.watch;
  }

  /** A #DB of the program's own. */
  trapSignal(): Stop {
    this.signal = Signal.TRAP;
    this.address = -1;
    return Stop.fault;
  }

  /** A #GP that the machine did not raise. */
  protectionFault(): Stop {
    this.vector = Exception.GP;
    this.signal = Signal.SEGV;
    this.address = -1;
    return Stop.fault;
  }

  /** #GP and #UD: trapped instructions, the flush point, instructions to complete; else a signal. */
  private trapped(task: Task, vector: number): Stop {
    const registers = this.core.machine.context.registers;
    const rip = ripOf(registers);
    if (vector === Exception.GP && isFlushPoint(task, rip)) return Stop.flush;
    const length = task.space.read(rip, this.code);
    switch (this.decoder.decode(this.code, 0, length)) {
      case Insn.rdtsc:
      case Insn.rdtscp:
      case Insn.tpause:
      case Insn.umwait:
        return vector === Exception.GP || trapsAsRecorded(this.core.machine.config.cpuid, this.decoder.kind)
          ? Stop.trap
          : Stop.fault;
      case Insn.cpuid:
        // #UD is that of a hidden one.
        if (!this.core.machine.config.cpuidInSoftware) return Stop.trap;
        break;
      default:
        break;
    }
    const completion = completeInstruction(this.core, task, this.decoder);
    if (completion === 'done') {
      this.completed++;
      return this.stopAfterService ? Stop.served : Stop.pending;
    }
    if (completion === 'unwritable')
      this.address = wordsToGva(this.decoder.addressLow, this.decoder.addressHigh);
    // The recorded processor would have executed it up to its operand: #GP or #PF, which are one signal.
    if (this.core.vectors.differs && isRecorded(this.core.vectors, this.decoder.kind))
      this.vector = Exception.GP;
    return Stop.fault;
  }

  /** 32-bit code, by a far jump or in a segment of the program's own. */
  private foreignCode(task: Task): RevenantError {
    const selector = this.core.machine.context.registers[2 * Reg.cs];
    return new RevenantError(
      'E_UNSUPPORTED',
      `Task ${task.tid} runs code in segment ${hex(selector)}, which is not that of 64-bit programs.`,
      'Revenant replays 64-bit code only.',
    );
  }

  private lost(task: Task): RevenantError {
    const context = this.core.machine.context;
    const vector = context.vector;
    if (vector >= Vector.ring0) {
      return new RevenantError(
        'E_TRACE_CORRUPT',
        `Task ${task.tid}: the processor refused to enter the program with the recorded registers (vector ${vector - Vector.ring0}).`,
        'A recorded address is not canonical or a selector is not a user one: the trace is damaged.',
      );
    }
    const refusal = this.core.machine.refusal(`Task ${task.tid}`);
    if (refusal) return refusal;
    return new RevenantError(
      'E_MACHINE_LOST',
      `Task ${task.tid}: the vCPU stopped with ${this.core.machine.describeFailure()}.`,
      'Run `revenant doctor` to see what this machine delivers, or try --machine emulated.',
    );
  }
}

const isDebug = ({ machine }: ReplayCore, exit: Exit): boolean =>
  exit === Exit.Exception && machine.context.vector === Exception.DB;

function isFlushPoint(task: Task, rip: number): boolean {
  return rip > 0 && rip === task.preload.breakpointInstruction;
}
