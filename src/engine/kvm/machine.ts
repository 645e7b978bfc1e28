import os from 'node:os';
import { gpa, type Gpa } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import {
  AMX_STATE,
  FSGSBASE_FEATURE,
  completionFeatures,
  machineLayout,
  processorXcr0,
} from '../x86/completion.js';
import { WATCHED, type LeftOut } from '../x86/unraised.js';
import { PKRU, recordedLayout } from '../x86/xstate-layout.js';
import type { BranchCounter } from './branch-counter.js';
import { ContextPage } from './context-page.js';
import { Control, type CompletionVendor, type CpuidEntry } from './control.js';
import {
  Cr4,
  cpuidDifferences,
  cpuidRecords,
  findEntry,
  supportedXcr0,
  type CpuidDifference,
  type CpuidRecord,
  type UmipAnswers,
} from './cpuid.js';
import { Exit, exceptionName, reasonName } from './exit.js';
import { cr4BitName, xcr0BitNames } from './features.js';
import { Command, ExitKind, Ring0, Vector } from './layout.js';
import { poolHighWord } from './page-tables.js';
import { refusalOf } from './refusal.js';
import { StagedCalls } from './staged-calls.js';
import { StaleCode } from './stale-code.js';
import { errnoName, TRANSPORT_TITLES, type TransportKind, type VcpuTransport } from './transport.js';

/** The processor that the program is to see. */
export interface MachineConfig {
  cpuid: CpuidEntry[];
  xcr0: bigint;
  /** Bits of `Cr4`: see cr4FromTrace(). UMIP is left out where the machine refuses it. */
  cr4: number;
  /** CPUID raises #GP in the program, as with arch_prctl(ARCH_SET_CPUID). */
  cpuidFaulting: boolean;
  /** The runner answers CPUID from `cpuid`, because KVM's own results would differ. Needs `cpuidFaulting`. */
  cpuidInSoftware?: boolean;
  /**
   * Whose instructions are executed in software where the processor lacks them: Feature bits of native/completion. State of
   * `xcr0` that the processor lacks is then kept beside it. Undefined: none.
   */
  completion?: { features: bigint; vendor: CompletionVendor };
  /** PKRU is kept beside a processor that has it, so that no key forbids anything. Needs `completion`. */
  keepsKeys?: boolean;
  /** Another VM for this trace could have `keepsKeys`. */
  couldKeepKeys?: boolean;
  /** Instructions that mean something else here, or give other results, and are hidden to be completed: see HiddenCode. */
  hides?: { lzcnt: boolean; tzcnt: boolean; approximations: boolean };
  /** What RDPID and LSL of selector 0x7b return. Default 0. */
  cpuNumber?: number;
  /** Which instructions the recording kernel emulated when CR4.UMIP forbids them. Default 'nothing'. */
  umipAnswers?: UmipAnswers;
}

const MSR_PLATFORM_INFO = 0xce;
const MSR_MISC_FEATURES_ENABLES = 0x140;
const MSR_XFD = 0x1c4;
/** Of ECX of CPUID(7). */
const RDPID = 1 << 22;
/** Each wait of saveXstate(), and how many: the guest executes a handful of instructions. */
const XSAVE_BUDGET_MICROS = 1_000_000;
const XSAVE_TRIES = 10;
/** Iterations of a loop in one command, which must finish before the service counts as lost. */
const TURNS_A_COMMAND = 50_000_000;
/** A store of a staged call that faulted, the only page fault in ring 0. */
const STAGED_FAULT = Vector.ring0 + 14;
const HALT_BUDGET_MICROS = 100_000;
const HALT_TRIES = 50;
const { EINVAL, ENOENT, ENODEV, ENXIO, EACCES, EPERM } = os.constants.errno;

/** One VM with one vCPU that waits in ring 0 for the next run. */
export class Machine {
  readonly context: ContextPage;
  readonly staged: StagedCalls;
  /** Set by the probe if the processor counts exactly. */
  branchCounter: BranchCounter | null = null;
  /** Exceptions that replays must complete; before the probe has run, all that they can. */
  leftOut: ReadonlySet<LeftOut> = WATCHED;
  /** The first byte of the pool that is free for guest memory. */
  readonly firstFree: Gpa = gpa(Ring0.end);
  /** The page-table root entry (slot 511) of ring 0; every address space has it, as two words. */
  readonly kernelPml4Low: number;
  readonly kernelPml4High: number;
  /** What KVM supports (KVM_GET_SUPPORTED_CPUID): its leaf 0xD has the hardware's XSAVE layout. */
  readonly hardwareCpuid: readonly CpuidRecord[];
  /** The guest's XCR0, at most: of config.xcr0 what the processor has. */
  readonly xcr0: bigint;
  /** What XGETBV would show: a process has the host's, whatever was asked for. */
  readonly shownXcr0: bigint;
  /** CPUID cannot be made to fault, and must be hidden from the processor: see HiddenCode. */
  hidesCpuid: boolean;
  /** Of this VM: see `allowTiles`. */
  private allowsTiles = false;
  /** The next VM for this trace is to have `keepsKeys`: see `requireKeysBeside`. */
  needsKeysBeside = false;
  private readonly computedByKvm: readonly CpuidDifference[];
  private readonly stale: StaleCode | null;

  private constructor(
    readonly transport: VcpuTransport,
    private wanted: MachineConfig,
    private readonly control: Control,
    made: Made,
  ) {
    this.staged = new StagedCalls(transport.pool);
    const root = new Uint32Array(transport.pool, Ring0.pml4 + 8 * Ring0.pml4Slot, 2);
    [this.kernelPml4Low, this.kernelPml4High] = root;
    this.context = new ContextPage(transport.pool, poolHighWord(this.kernelPml4High));
    this.hardwareCpuid = cpuidRecords(made.hardware);
    this.xcr0 = made.xcr0;
    this.shownXcr0 = made.shownXcr0;
    this.hidesCpuid = made.hidesCpuid;
    this.computedByKvm = cpuidDifferences(wanted.cpuid, made.actual);
    this.stale = transport.kind === 'emulated' ? new StaleCode(transport.pool) : null;
  }

  /**
   * Makes the VM; an earlier one over the same transport ends. The pool after ring 0 is not
   * touched. Throws E_MACHINE_CANNOT with what was refused.
   */
  static create(transport: VcpuTransport, config: MachineConfig): Machine {
    const control = new Control(transport);
    return new Machine(transport, config, control, make(control, config, transport.kind));
  }

  get config(): MachineConfig {
    return this.wanted;
  }

  /** Differences between requested and actual CPUID results, as reported by KVM; none if CPUID faults. */
  get cpuidDifferences(): readonly CpuidDifference[] {
    return this.wanted.cpuidFaulting ? [] : this.computedByKvm;
  }

  /** The whole pool: control block, ring 0, guest memory. */
  get pool(): ArrayBuffer {
    return this.transport.pool;
  }

  /** Addresses that programs cannot use. */
  get reserved(): VcpuTransport['reserved'] {
    return this.transport.reserved;
  }

  /**
   * Whether programs run on a vCPU. In a process of the host they have no segments of their own (modify_ldt,
   * set_thread_area); XCR0 is the host's; whether CPUID can fault is the processor's affair; and protection keys forbid
   * nothing: all pages have key 0, and kernels before 6.12 cannot deliver the signal where that is forbidden
   * (arch/x86/kernel/signal.c, sig_prepare_pkru).
   */
  get isVirtual(): boolean {
    return this.transport.kind !== 'process';
  }

  /** RDPKRU and WRPKRU are to be hidden: the processor would execute them, and PKRU is not in it. */
  get hidesKeys(): boolean {
    return !this.isVirtual && (this.config.xcr0 & ~this.xcr0 & PKRU) !== 0n;
  }

  /**
   * To be called when a program gives memory a key of its own, which makes it able to forbid key 0, the one of all memory
   * here. Throws E_MACHINE_CANNOT where PKRU is the processor's and another VM can have it beside.
   */
  requireKeysBeside(who: string): void {
    if (this.isVirtual || !this.config.couldKeepKeys || !(this.xcr0 & PKRU)) return;
    this.needsKeysBeside = true;
    throw new RevenantError(
      'E_MACHINE_CANNOT',
      `${who} gives memory a protection key of its own, for which PKRU must be kept beside the processor from the beginning.`,
      'Replay the trace from its beginning.',
      { elsewhere: true },
    );
  }

  /** RDPID would return the number of the host's processor that a process happens to be on. */
  get hidesNumber(): boolean {
    const leaf7 = findEntry(this.config.cpuid, 7);
    return !this.isVirtual && leaf7 !== undefined && (leaf7.ecx & RDPID) !== 0;
  }

  /** XGETBV would show the program another XCR0 than the recorded one, and is answered in software. */
  get hidesXcr0(): boolean {
    return this.config.completion !== undefined || this.shownXcr0 !== this.config.xcr0;
  }

  /** KVM_RUN calls so far; without interruptions one per exit. */
  get runIoctls(): number {
    return this.control.runIoctls;
  }

  /** Instructions that were executed in software since the VM was made. */
  get completedInstructions(): number {
    return this.control.completed;
  }

  /** Recreates the VM, for instance after Exit.Failed. All requests and registers are discarded. */
  restart(): void {
    this.staged.clear();
    this.allowsTiles = false;
    make(this.control, this.config, this.transport.kind);
  }

  /**
   * After #NM of an instruction that uses tiles (AMX): a process of the host gets them on request only. From now on they
   * raise it no more, until the next VM.
   * @returns false where the program cannot have them, or where they were not what it lacked
   */
  allowTiles(): boolean {
    if (this.isVirtual || this.allowsTiles || (this.xcr0 & AMX_STATE) !== AMX_STATE) return false;
    this.allowsTiles = this.control.setMsrs([{ index: MSR_XFD, value: 0n }]) === 0;
    return this.allowsTiles;
  }

  /**
   * From now on CPUID faults, and the runner answers it from `config`: for processors and KVMs that
   * compute some of its results from state that the guest does not have. Throws E_MACHINE_CANNOT if
   * KVM has no CPUID faulting. Where other machines have none, `hidesCpuid` is set.
   */
  answerCpuidInSoftware(): void {
    this.hidesCpuid = setCpuidFaulting(this.control, this.transport.kind);
    this.wanted = { ...this.wanted, cpuidFaulting: true, cpuidInSoftware: true };
  }

  /**
   * Makes CPUID fault from now on, or not; no effect if it always does.
   * @returns false if this KVM cannot
   */
  interceptCpuid(on: boolean): boolean {
    if (this.wanted.cpuidFaulting) return true;
    return setFaulting(this.control, on) === 0;
  }

  /** Runs the program until it exits, or `budgetMicros` have passed (Exit.Pending: run again, touch nothing). */
  run(budgetMicros: number): Exit {
    if (!this.transport.run(budgetMicros)) return Exit.Pending;
    if (this.control.exitKind === ExitKind.failed) return Exit.Failed;
    const vector = this.context.vector;
    if (vector === Vector.syscall) return Exit.Syscall;
    if (vector < Vector.syscall) return Exit.Exception;
    if (vector === Vector.xsaved) return Exit.XstateSaved;
    if (vector === Vector.staged) return Exit.Staged;
    if (vector === STAGED_FAULT && this.staged.staged > 0) {
      // Registers are as before SYSCALL; stores that were already made will be repeated.
      this.context.vector = Vector.syscall;
      return Exit.Syscall;
    }
    return vector === Vector.interrupted ? Exit.Interrupted : Exit.Failed;
  }

  /** Ends the run in progress soon, as Exit.Interrupted. */
  kick(): void {
    this.transport.kick();
  }

  /**
   * Ends a run that returned Exit.Pending, so that guest memory may be accessed. The context page
   * then has the program's registers (Exit.Interrupted), or those of its exit in the meantime.
   */
  halt(): Exit {
    this.kick();
    for (let tries = 0; tries < HALT_TRIES; tries++) {
      const exit = this.run(HALT_BUDGET_MICROS);
      if (exit !== Exit.Pending) return exit;
    }
    throw new RevenantError('E_MACHINE_LOST', 'The vCPU does not stop.', 'Run `revenant machine stop`.');
  }

  /** Puts the vCPU's vector state into context.xstate (after performing pending requests). Costs an exit. */
  saveXstate(): void {
    const { vector } = this.context;
    this.context.requestXsave();
    let exit: Exit = Exit.Pending;
    for (let i = 0; i < XSAVE_TRIES && exit === Exit.Pending; i++) exit = this.run(XSAVE_BUDGET_MICROS);
    if (exit !== Exit.XstateSaved) {
      throw new RevenantError('E_MACHINE_LOST', `XSAVE failed: ${this.describeFailure()}.`);
    }
    this.context.vector = vector;
  }

  /**
   * Moves the vCPU to ring 0's own page tables. To be called before the root that the program last ran on
   * is freed: the vCPU waits in ring 0 on that root, and the next entry begins on it even when another is
   * requested. Costs an exit, and fills context.xstate.
   */
  leaveAddressSpace(): void {
    this.context.requestCr3(gpa(Ring0.pml4));
    this.saveXstate();
  }

  /**
   * Must be called after storing into guest memory that the guest may have executed before. No
   * effect on a real processor; the emulator would keep its old translations.
   */
  codeWritten(at: Gpa, length: number): void {
    if (!this.stale || this.stale.add(at, length)) return;
    this.control.execute(Command.ping); // the list is served before any command
    this.stale.add(at, length);
  }

  /**
   * Seconds for a loop of `turns` iterations, two instructions each, outside of the guest on its
   * vCPU's processor: the host's or the emulated machine's. For measurements.
   */
  nativeLoopSeconds(turns: number): number {
    let seconds = 0;
    for (let left = turns; left > 0; left -= TURNS_A_COMMAND) {
      const errno = this.control.executeValue(Command.spin, BigInt(Math.min(left, TURNS_A_COMMAND)));
      demand(errno, 'The service has no loop');
      seconds += Number(this.control.value) / 1e9;
    }
    return seconds;
  }

  /** The error of a run that ended with Exit.Failed for what its program did; null: see `describeFailure`. */
  refusal(who: string): RevenantError | null {
    if (this.control.exitKind !== ExitKind.failed) return null;
    const [detail, more] = this.control.exitDetail;
    return refusalOf(who, { reason: this.control.exitReason, detail, more }, this.reserved);
  }

  /** Why the last run ended with Exit.Failed, as text. */
  describeFailure(): string {
    if (this.control.exitKind === ExitKind.failed) {
      const [detail, more] = this.control.exitDetail;
      const numbers = `0x${detail.toString(16)}, 0x${more.toString(16)}`;
      return `${reasonName(this.control.exitReason)} (${numbers}) at rip 0x${this.control.exitRip.toString(16)}`;
    }
    const { vector } = this.context;
    if (vector === Vector.syscallCompat) return 'a SYSCALL from 32-bit code';
    if (vector < Vector.ring0) return `vector 0x${vector.toString(16)}`;
    return `${exceptionName(vector - Vector.ring0)} while entering the program (error code 0x${this.context.errorCode.toString(16)})`;
  }

  /** Closes VM and transport. */
  close(): void {
    this.transport.close();
  }
}

const cannot = (message: string, hint?: string): RevenantError =>
  new RevenantError('E_MACHINE_CANNOT', message, hint);

interface Made {
  hardware: CpuidEntry[];
  actual: CpuidEntry[];
  xcr0: bigint;
  shownXcr0: bigint;
  hidesCpuid: boolean;
}

function make(control: Control, config: MachineConfig, kind: TransportKind): Made {
  createVm(control, kind);
  demand(control.execute(Command.getSupportedCpuid), `${named(kind)} does not report its supported CPUID`);
  const hardware = control.cpuidList();
  const supported = supportedXcr0(hardware) & ~(config.keepsKeys ? PKRU : 0n);
  const xcr0 = config.completion ? processorXcr0(config.xcr0, supported) : config.xcr0;
  checkXcr0(xcr0, hardware, kind);
  demand(control.setCpuid(cpuidForKvm(config, xcr0)), `${named(kind)} refused the recorded CPUID`);
  // PKRU that is kept beside the processor: its instructions are to raise #UD.
  const isBeside = (config.xcr0 & ~xcr0 & PKRU) !== 0n;
  const here = completionFeatures(cpuidRecords(hardware), 0n);
  const hasNoBases = config.completion && !(here & FSGSBASE_FEATURE);
  const lacking = (isBeside ? Cr4.PKE : 0) | (hasNoBases ? Cr4.FSGSBASE : 0);
  initialise(control, { ...config, cr4: config.cr4 & ~lacking }, kind);
  const shownXcr0 = config.cr4 & Cr4.OSXSAVE ? setXcr0(control, xcr0, kind) : xcr0;
  if (config.completion) setCompletion(control, config, hardware, xcr0);
  const hidesCpuid = config.cpuidFaulting && setCpuidFaulting(control, kind);
  demand(control.execute(Command.getCpuid2), `${named(kind)} does not report the CPUID that was set`);
  return { hardware, actual: control.cpuidList(), xcr0, shownXcr0, hidesCpuid };
}

/** What a message calls a machine of a kind, at the beginning of a sentence. */
const named = (kind: TransportKind): string => `T${TRANSPORT_TITLES[kind].slice(1)}`;

function demand(errno: number, what: string): void {
  if (errno !== 0) throw cannot(`${what}: ${errnoName(errno)}.`);
}

/** Makes the VM without any state. Throws E_MACHINE_CANNOT. */
export function createVm(control: Control, kind: TransportKind): void {
  const errno = control.execute(Command.create);
  if (errno === 0) return;
  if (kind !== 'host') throw cannot(`${named(kind)} could not be made: ${errnoName(errno)}.`);
  if (errno === ENOENT || errno === ENODEV || errno === ENXIO) throw cannot('There is no /dev/kvm here.');
  if (errno === EACCES || errno === EPERM) {
    throw cannot('/dev/kvm may not be opened by this user.', 'Join its group: sudo usermod -aG kvm "$USER"');
  }
  throw cannot(`KVM could not make a virtual machine: ${errnoName(errno)}.`);
}

/** Bits that this processor, kernel or hypervisor below does not have. */
function checkXcr0(xcr0: bigint, hardware: readonly CpuidEntry[], kind: TransportKind): void {
  const supported = supportedXcr0(hardware);
  const missing = xcr0 & ~supported;
  if (missing === 0n) return;
  throw cannot(
    `The recording has ${xcr0BitNames(missing)}, which ${TRANSPORT_TITLES[kind]} does not have ` +
      `(recorded XCR0 0x${xcr0.toString(16)}, here at most 0x${supported.toString(16)}).`,
  );
}

/** @returns what is in force */
function setXcr0(control: Control, xcr0: bigint, kind: TransportKind): bigint {
  const errno = control.executeValue(Command.setXcr0, xcr0);
  if (errno === EINVAL) {
    throw cannot(
      `${named(kind)} refused XCR0 0x${xcr0.toString(16)} (${xcr0BitNames(xcr0)}): no processor has this ` +
        'combination, or the recorded CPUID leaf 0xd does not have all of it.',
    );
  }
  demand(errno, `${named(kind)} could not set XCR0 0x${xcr0.toString(16)}`);
  return control.value;
}

/** Without components that the guest's XCR0 will not have: KVM refuses those that take a permission (AMX). CPUID faults. */
function cpuidForKvm(config: MachineConfig, xcr0: bigint): CpuidEntry[] {
  if (xcr0 === config.xcr0 || !config.cpuidFaulting) return config.cpuid;
  const here = Number(xcr0 & 0xffff_ffffn);
  return config.cpuid.map((entry) =>
    entry.function === 0xd && entry.index === 0 ? { ...entry, eax: (entry.eax & here) >>> 0 } : entry,
  );
}

function setCompletion(
  control: Control,
  config: MachineConfig,
  hardware: readonly CpuidEntry[],
  xcr0: bigint,
): void {
  if (!config.completion) return;
  const recorded = recordedLayout(cpuidRecords(config.cpuid), config.xcr0);
  const { components: offsets, size } = machineLayout(cpuidRecords(hardware), recorded, xcr0);
  if (size > Ring0.x87 - Ring0.xstate) throw cannot('The recorded extended state is too large.');
  const { features, vendor } = config.completion;
  const errno = control.setCompletion({
    // Older kernels let no program use them.
    features: config.cr4 & Cr4.FSGSBASE ? features : features & ~FSGSBASE_FEATURE,
    vendor,
    components: config.xcr0,
    xcr0,
    offsets,
    protectionKeys: (config.cr4 & Cr4.PKE) !== 0 && (xcr0 & PKRU) !== 0n,
  });
  demand(errno, 'Instructions cannot be completed in software');
}

function initialise(control: Control, config: MachineConfig, kind: TransportKind): void {
  const leaf1 = findEntry(config.cpuid, 1);
  const apicEnabled = leaf1 !== undefined && (leaf1.edx & (1 << 9)) !== 0;
  const init = (cr4: number): number => control.initLongMode(cr4, config.cpuNumber ?? 0, apicEnabled);
  let errno = init(config.cr4);
  if (errno === EINVAL && config.cr4 & Cr4.UMIP) errno = init(config.cr4 & ~Cr4.UMIP);
  if (errno === 0) return;
  const bits = Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => config.cr4 & (1 << bit));
  const refused = bits.filter((bit) => bit !== 11 && init(1 << bit) !== 0).map(cr4BitName);
  if (refused.length > 0) throw cannot(`${named(kind)} refused ${refused.join(', ')}: ${errnoName(errno)}.`);
  throw cannot(`${named(kind)} refused long mode with the recorded CPUID: ${errnoName(errno)}.`);
}

/** @returns whether it cannot, and CPUID is to be hidden instead: only KVM can on any processor */
function setCpuidFaulting(control: Control, kind: TransportKind): boolean {
  const errno = setFaulting(control, true);
  if (errno !== 0 && kind !== 'host') return true;
  demand(errno, `${named(kind)} refused CPUID faulting (MSR 0x140)`);
  return false;
}

/** @returns errno */
const setFaulting = (control: Control, on: boolean): number =>
  control.setMsrs([
    { index: MSR_PLATFORM_INFO, value: 1n << 31n },
    { index: MSR_MISC_FEATURES_ENABLES, value: on ? 1n : 0n },
  ]);
