import { PAGE_SIZE, hex, pageFloor, wordsToGva, type Gva, gva, offsetBy } from '../../engine/base/address.js';
import { RevenantError } from '../../engine/base/errors.js';
import { SignalCode } from '../../engine/base/linux.js';
import { Reg, getRegister, getUnsigned, setSigned, type RegisterWords } from '../../engine/base/registers.js';
import { Suppress, type GuestStops } from '../../engine/guest/stops/guest-stops.js';
import type { Watchpoint } from '../../engine/target.js';
import {
  debugException,
  enterGuest,
  leaveInt3,
  pageFault,
  passInt1,
  signalOfException,
} from '../../engine/guest/exceptions.js';
import { TrapFlag } from '../../engine/guest/trap-flag.js';
import { Exit } from '../../engine/kvm/exit.js';
import { Vector } from '../../engine/kvm/layout.js';
import { EFLAGS_TRAP, Exception, PageFault, SYSCALL_LENGTH } from '../../engine/x86/constants.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { isFree } from '../../engine/mm/free.js';
import { answerCpuid, completeInstruction, type Completion } from '../../engine/guest/completion.js';
import type { GuestCore } from '../../engine/guest/guest-core.js';
import { readMemory } from '../../engine/guest/memory-reader.js';
import { REPLAY_ASSIST_IP } from '../../engine/guest/rr-abi.js';
import type { Task } from '../../engine/task/task.js';
import { Insn, InstructionDecoder, MAX_INSTRUCTION_LENGTH } from '../../engine/x86/decode.js';
import { isWild, undoCall } from '../../engine/x86/wild-branch.js';
import type { DiversionClock } from '../base/clock.js';
import type { FaultFacts } from '../kernel/process.js';
import { Sig, faultSignal, type Signal } from '../kernel/pending.js';

/** Why a task of a diversion stopped. */
export type RunStop =
  /** Its time is up; the guest is stopped. */
  | { readonly kind: 'slice' }
  /** Many exits, or its next instruction must be single-stepped: it continues. */
  | { readonly kind: 'more' }
  /** rip is after the instruction. */
  | { readonly kind: 'syscall' }
  | { readonly kind: 'signal'; readonly signal: Signal; readonly fault: FaultFacts }
  /** A breakpoint of ours; the instruction has not run. */
  | { readonly kind: 'breakpoint' }
  /** After an instruction that accessed watched memory. */
  | { readonly kind: 'watch' }
  | { readonly kind: 'step' };

/** `singleStep`: one instruction, under a breakpoint or not. `freely`: to the next breakpoint. */
export type RunHow = 'freely' | 'singleStep';

const SLICE: RunStop = { kind: 'slice' };
const MORE: RunStop = { kind: 'more' };
const SYSCALL: RunStop = { kind: 'syscall' };
const BREAKPOINT: RunStop = { kind: 'breakpoint' };
const WATCH: RunStop = { kind: 'watch' };
const STEP: RunStop = { kind: 'step' };

const EXITS_A_TURN = 2048;
const STEP_BUDGET_MICROS = 1_000_000;
/** Length of the load at the flush point of the preload library. */
const FLUSH_LOAD_LENGTH = 3;
/** Bits of CPUID: leaf 1 in ECX, leaf 7 in EBX. */
const RDRAND = 1 << 30;
const RDSEED = 1 << 18;

const STACK_LIMIT = 8 << 20;
const STACK_GUARD = 256 * PAGE_SIZE;

/** Runs one task until something happens that the emulated kernel or the debugger must see. */
export class TaskRunner {
  exits = 0;
  /** What the last run hit. */
  hits: Watchpoint[] = [];
  private readonly code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  private readonly decoder = new InstructionDecoder();
  private readonly flag = new TrapFlag();
  private stepping = false;
  /** The instruction at rip touches a watched page: it is to be single-stepped. */
  private guarded = false;

  constructor(
    private readonly core: GuestCore,
    private readonly clock: DiversionClock,
    private readonly stops: GuestStops,
  ) {}

  /** @param budgetMicros after which the guest is halted */
  run(task: Task, budgetMicros: number, how: RunHow): RunStop {
    this.core.activate(task);
    this.hits = [];
    this.guarded = false;
    let stop =
      how === 'freely'
        ? this.runOn(task, budgetMicros, Suppress.nothing)
        : this.step(task, Suppress.breakpoints);
    if (!this.guarded) return stop;
    stop = this.step(task, Suppress.everything);
    const hits = this.stops.endAccess(task);
    // Not executed: it will be met again.
    if (stop === SLICE || stop === MORE) return stop;
    this.hits.push(...hits);
    if (stop === STEP && how === 'freely') return this.hits.length > 0 ? WATCH : MORE;
    return stop;
  }

  /** One instruction, by the trap flag, which the program does not get to see. */
  private step(task: Task, suppress: Suppress): RunStop {
    const { registers } = this.core.machine.context;
    this.flag.look(task, registers);
    this.flag.set(registers);
    this.stepping = true;
    const stop = this.runOn(task, STEP_BUDGET_MICROS, suppress);
    this.stepping = false;
    if (!this.flag.clear(task, registers, stop === STEP)) return this.protectionFault();
    // The program steps itself: this trap is its signal.
    return stop === STEP && this.flag.isPrograms ? this.trap(SignalCode.trace) : stop;
  }

  private runOn(task: Task, budgetMicros: number, suppress: Suppress): RunStop {
    const { machine } = this.core;
    this.stops.suppress = suppress;
    try {
      for (let served = 0; served < EXITS_A_TURN; served++) {
        let exit = enterGuest(this.core, this.stops, task, budgetMicros);
        if (exit === Exit.Pending) exit = machine.halt();
        this.stops.disarm();
        this.exits++;
        if (exit === Exit.Interrupted) return SLICE;
        if (exit === Exit.Syscall) return SYSCALL;
        if (exit !== Exit.Exception) throw this.lost(task);
        const stop = this.exception(task);
        if (stop) return stop;
      }
      return MORE;
    } finally {
      this.stops.disarm();
      this.stops.suppress = Suppress.nothing;
    }
  }

  /** null: the program continues unaffected. */
  private exception(task: Task): RunStop | null {
    const { context } = this.core.machine;
    const { vector, registers } = context;
    if (vector === Exception.PF) return this.pageFault(task);
    if (vector === Exception.DB) return this.debug(task);
    if (vector === Exception.UD && passInt1(this.core, task)) return this.trap(SignalCode.breakpoint);
    if (vector === Exception.NM && this.core.machine.allowTiles()) return null;
    if (vector === Exception.BP && leaveInt3(this.core, this.stops, task)) return BREAKPOINT;
    const rip = getUnsigned(registers, Reg.rip);
    if (vector === Exception.BP && rip === REPLAY_ASSIST_IP) return null;
    if (vector === Exception.GP || vector === Exception.UD) {
      if (rip === task.preload.breakpointInstruction && rip !== 0) {
        setSigned(registers, Reg.rip, rip + FLUSH_LOAD_LENGTH);
        return null;
      }
      const completion = this.emulated(task);
      if (completion === 'done') return this.afterCompletion(registers);
      if (completion === 'unwritable') return this.unwritable();
    }
    // A 32-bit system call, which is not emulated.
    if (vector === Vector.int80) {
      setSigned(registers, Reg.rip, rip - SYSCALL_LENGTH);
      return this.protectionFault();
    }
    // The processor refused to go back to the program: IRET, or a base that is not canonical.
    if (vector >= Vector.ring0) {
      context.dropRequests();
      return this.protectionFault();
    }
    if (vector === Exception.GP && isWild(registers)) undoCall(registers, readMemory(task));
    const known = signalOfException(vector);
    if (!known) throw this.lost(task);
    return this.fault(known.signal, known.code, known.atRip ? BigInt(rip) : 0n, vector);
  }

  /** An instruction was executed here: a program that steps itself gets its trap as if the processor had done it. */
  private afterCompletion(registers: RegisterWords): RunStop | null {
    if (this.stepping) return STEP;
    return registers[2 * Reg.eflags] & EFLAGS_TRAP ? this.trap(SignalCode.trace) : null;
  }

  /** A #DB of the program's own. */
  private trap(code: number): RunStop {
    const rip = getRegister(this.core.machine.context.registers, Reg.rip);
    return this.fault(Sig.TRAP, code, rip, Exception.DB);
  }

  /** A #GP that the machine did not raise, or not with these registers. */
  private protectionFault(): RunStop {
    return this.fault(Sig.SEGV, SignalCode.kernel, 0n, Exception.GP);
  }

  private fault(signal: number, code: number, address: bigint, trap: number): RunStop {
    const { context } = this.core.machine;
    const cr2 = (BigInt(context.cr2High) << 32n) | BigInt(context.cr2Low);
    return {
      kind: 'signal',
      signal: faultSignal(signal, code, address),
      fault: { trap, errorCode: context.errorCode, address: trap === Exception.PF ? cr2 : 0n },
    };
  }

  private pageFault(task: Task): RunStop | null {
    const { context } = this.core.machine;
    const address = wordsToGva(context.cr2Low, context.cr2High);
    const { errorCode } = context;
    // A breakpoint where nothing can be executed: debuggers have calls return to the stack.
    if (errorCode & PageFault.fetch && this.stops.stopsAt(task, address)) return BREAKPOINT;
    const cause = pageFault(this.core, this.stops, task);
    if (cause === 'filled') return null;
    if (cause === 'guard') {
      this.guarded = true;
      return MORE;
    }
    if (address > 0 && growStack(task.space, address) && task.space.fault(address, errorCode)) return null;
    const full = (BigInt(context.cr2High) << 32n) | BigInt(context.cr2Low);
    const isMapped = address > 0 && task.space.vmas.find(address) !== null;
    let code: number = isMapped ? SignalCode.accessError : SignalCode.mapError;
    if (errorCode & PageFault.key && errorCode & PageFault.present) code = SignalCode.protectionKey;
    return this.fault(Sig.SEGV, code, full, Exception.PF);
  }

  private debug(task: Task): RunStop | null {
    const { context } = this.core.machine;
    switch (debugException(this.core, this.stops, task)) {
      case 'step':
        return this.stepping ? STEP : this.trap(SignalCode.trace);
      case 'watch':
        this.hits.push(...this.stops.hitBy(context.dr6 & context.dataBreakpoints));
        return WATCH;
      case 'claimed':
      case 'breakpoint':
        return BREAKPOINT;
      case 'int1':
        return this.trap(SignalCode.breakpoint);
      case 'stray':
        return null;
    }
  }

  private kindAt(task: Task): number {
    const rip = gva(getUnsigned(this.core.machine.context.registers, Reg.rip));
    return this.decoder.decode(this.code, 0, task.space.read(rip, this.code));
  }

  /** The kernel could not store what it answered for the program. */
  private unwritable(): RunStop {
    const address = (BigInt(this.decoder.addressHigh) << 32n) | BigInt(this.decoder.addressLow);
    const fault = { trap: Exception.PF, errorCode: PageFault.user | PageFault.write, address };
    return { kind: 'signal', signal: faultSignal(Sig.SEGV, SignalCode.mapError, address), fault };
  }

  /** Instructions that trap because the recording had them trap, and those that this processor lacks. */
  private emulated(task: Task): Completion {
    const { registers } = this.core.machine.context;
    const kind = this.kindAt(task);
    switch (kind) {
      case Insn.rdtsc:
      case Insn.rdtscp: {
        const now = this.clock.readTimestampCounter();
        setLow(registers, Reg.rax, Number(now & 0xffff_ffffn));
        setLow(registers, Reg.rdx, Number(now >> 32n));
        if (kind === Insn.rdtscp) setLow(registers, Reg.rcx, this.core.machine.config.cpuNumber ?? 0);
        break;
      }
      case Insn.cpuid:
        this.answerCpuid(registers);
        break;
      case Insn.tpause:
      case Insn.umwait:
        break;
      default:
        return completeInstruction(this.core, task, this.decoder);
    }
    setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) + this.decoder.length);
    return 'done';
  }

  /** As recorded, except the processor's random numbers, which are not reproducible: programs have the kernel's. */
  private answerCpuid(registers: RegisterWords): void {
    const leaf = registers[2 * Reg.rax];
    const isFirst = registers[2 * Reg.rcx] === 0;
    answerCpuid(this.core.machine.config.cpuid, registers);
    if (leaf === 1) registers[2 * Reg.rcx] &= ~RDRAND;
    if (leaf === 7 && isFirst) registers[2 * Reg.rbx] &= ~RDSEED;
  }

  private lost(task: Task): RevenantError {
    const refusal = this.core.machine.refusal(`The diversion's task ${task.tid}`);
    if (refusal) return refusal;
    const rip = getRegister(this.core.machine.context.registers, Reg.rip);
    return new RevenantError(
      'E_MACHINE_LOST',
      `The diversion's task ${task.tid}: the vCPU stopped with ${this.core.machine.describeFailure()} at ${hex(rip)}.`,
      'A register that no program can have may have been set; else run `revenant doctor`.',
    );
  }
}

function setLow(registers: Uint32Array, slot: number, value: number): void {
  registers[2 * slot] = value >>> 0;
  registers[2 * slot + 1] = 0;
}

/** The stack grows down to where it was touched, but not into what is below, and no further than its limit. */
function growStack(space: AddressSpace, address: Gva): boolean {
  const above = space.vmas.findAtOrAbove(address);
  if (above?.name !== '[stack]' || address >= above.start) return false;
  const page = pageFloor(address);
  let end = above.end as number;
  for (let next = space.vmas.find(gva(end)); next?.name === '[stack]';) {
    end = next.end;
    next = space.vmas.find(gva(end));
  }
  if (end - page > STACK_LIMIT) return false;
  const guard = offsetBy(page, -STACK_GUARD);
  if (!isFree(space, guard, page)) return false;
  space.map({ ...above, start: page, end: above.start, offset: 0 });
  return true;
}
