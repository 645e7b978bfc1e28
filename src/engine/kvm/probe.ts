/**
 * Probes what a program at CPL 3 in this VM *observes*. KVM's ioctls are not sufficient: there are
 * KVMs that accept an XCR0 and show the host's, do not intercept CPUID, or enter SYSCALL at CPL 3.
 */
import { RevenantError } from '../base/errors.js';
import { findBranchCounter } from './find-branch-counter.js';
import type { LeftOut } from '../x86/unraised.js';
import { hardwareLayout, xcr0Names } from '../x86/xstate-layout.js';
import { Cr4, findEntry } from './cpuid.js';
import { Exit } from './exit.js';
import { EFLAGS_TF, checkCpuid, checkXsaveLayout, type Finding } from './probe-checks.js';
import { checkExceptions } from './probe-exceptions.js';
import { CODE, DATA, ProbeGuest, type Outcome } from './probe-guest.js';
import { programs } from './probe-programs.js';
import type { Machine } from './machine.js';
import type { TransportKind } from './transport.js';
import { DR6_STEP, Exception } from '../x86/constants.js';

export type { Finding } from './probe-checks.js';

/** Plain data. */
export interface ProbeReport {
  kind: TransportKind;
  description: string;
  /** What XGETBV(0) returned; null if it did not. */
  xcr0Seen: bigint | null;
  findings: Finding[];
  /** Every finding is as it must be for a faithful replay. */
  passed: boolean;
  /** Instructions that are completed in software where the processor lacks them. */
  xsavec: boolean;
  xgetbv1: boolean;
  compactedXrstor: boolean;
  /** CPUID results that differ from the recorded ones, so that CPUID is answered in software. */
  cpuidHere: string[];
  /** Why the processor does not count the program's branches; null: it does. */
  branchCounterProblem: string | null;
  /** Debug registers stop accesses to data; where they do not, watched pages are protected. */
  dataBreakpoints: boolean;
  /** Exceptions that this machine omits, among those that were probed: those of WATCHED, or all. */
  leftOut: LeftOut[];
}

/** `every`: all exceptions that programs can cause. `watched`: only those that replays need. */
export type Exceptions = 'every' | 'watched';

const { DB, BP, UD, GP } = Exception;
const GP_AT_CODE = `#GP at 0x${CODE.toString(16)}`;
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/**
 * Runs the probe. The machine must be fresh, and is so again afterwards, its memory zeroed. Takes
 * bounded time and never throws for the guest's behaviour; E_MACHINE_LOST if the emulated machine
 * dies.
 */
export function probe(machine: Machine, exceptions: Exceptions = 'watched'): ProbeReport {
  const probe = new Probe(machine, exceptions);
  try {
    probe.run();
  } finally {
    probe.guest.close();
  }
  return probe.result();
}

class Probe {
  readonly guest: ProbeGuest;
  private readonly findings: Finding[] = [];
  private xcr0Seen: bigint | null = null;
  private branchCounterProblem: string | null = 'not probed';
  private cpuidHere: string[] = [];
  private has = { xsavec: false, xgetbv1: false, compactedXrstor: false, dataBreakpoints: false };

  constructor(
    private readonly machine: Machine,
    private readonly asked: Exceptions,
  ) {
    this.guest = new ProbeGuest(machine);
  }

  run(): void {
    this.systemCall();
    this.cpuid();
    this.rdtsc();
    this.pageFaults();
    this.singleStep();
    this.breakpoint();
    this.dataBreakpoint();
    this.fsBase();
    this.countBranches();
    this.exceptions();
    if (this.machine.config.cr4 & Cr4.OSXSAVE) {
      this.xgetbv();
      this.xsaveLayout();
      this.vectorState();
      this.optionalInstructions();
    }
  }

  result(): ProbeReport {
    const { transport } = this.machine;
    return {
      kind: transport.kind,
      description: transport.description,
      xcr0Seen: this.xcr0Seen,
      findings: this.findings,
      passed: this.findings.every((finding) => finding.ok),
      branchCounterProblem: this.branchCounterProblem,
      cpuidHere: this.cpuidHere,
      leftOut: [...this.machine.leftOut],
      ...this.has,
    };
  }

  /** Not required by replays: they find events by registers, and count with breakpoints. */
  private countBranches(): void {
    const found = findBranchCounter(this.machine, this.guest);
    this.machine.branchCounter = typeof found === 'string' ? null : found;
    this.branchCounterProblem = typeof found === 'string' ? found : null;
  }

  /** Not required by replays, which complete omitted exceptions. */
  private exceptions(): void {
    const { findings, leftOut } = checkExceptions(this.guest, this.machine, this.asked === 'every');
    this.findings.push(...findings);
    this.machine.leftOut = leftOut;
  }

  private find(name: string, expected: string, seen: string, ok = expected === seen): void {
    this.findings.push({ name, expected, seen, ok });
  }

  private ended(outcome: Outcome, vector: number): boolean {
    return outcome.exit === Exit.Exception && outcome.vector === vector;
  }

  /** The entry runs at CPL 0: its `out` would fault at CPL 3 and show as an exception in ring 0's pages. */
  private systemCall(): void {
    const outcome = this.guest.run(programs.syscall);
    const after = BigInt(CODE) + 7n;
    this.find('system call', `system call at ${hex(after)}`, outcome.text);
    if (outcome.exit !== Exit.Syscall) return;
    const seen = `rax ${hex(this.guest.register('rax'))}, rcx ${hex(this.guest.register('rcx'))}, r11 ${hex(this.guest.register('r11'))}`;
    this.find('system call registers', `rax 0x99, rcx ${hex(after)}, r11 0x202`, seen);
  }

  /** Differing results are answered from the recording, if CPUID can be made to fault. */
  private cpuid(): void {
    if (!this.machine.config.cpuidFaulting) {
      const [all, ...differing] = checkCpuid(this.guest, this.machine.config.cpuid);
      if (!all || all.ok) {
        if (all) this.findings.push(all);
        this.prepareDiversions();
        return;
      }
      if (!this.canAnswerCpuid()) {
        this.findings.push(all, ...differing);
        return;
      }
      this.cpuidHere = differing.map(
        ({ name, expected, seen }) => `${name} is ${seen}, recorded ${expected}`,
      );
      this.find(
        all.name,
        `${all.expected}, or answered in software`,
        `${all.seen}: answered in software`,
        true,
      );
    }
    const outcome = this.guest.run(programs.cpuid);
    if (this.machine.hidesCpuid)
      this.find('CPUID faulting', `${GP_AT_CODE}, or hidden`, `${outcome.text}: hidden`, true);
    else this.find('CPUID faulting', GP_AT_CODE, outcome.text);
  }

  /** Diversions answer CPUID themselves: where it cannot be made to fault when one begins, it is hidden from now on. */
  private prepareDiversions(): void {
    if (this.machine.interceptCpuid(true)) this.machine.interceptCpuid(false);
    else this.canAnswerCpuid();
  }

  /** Makes CPUID fault, if that has an effect here. */
  private canAnswerCpuid(): boolean {
    try {
      this.machine.answerCpuidInSoftware();
    } catch (error) {
      if (error instanceof RevenantError && error.code === 'E_MACHINE_CANNOT') return false;
      throw error;
    }
    return this.machine.hidesCpuid || this.guest.run(programs.cpuid).text === GP_AT_CODE;
  }

  private rdtsc(): void {
    const outcome = this.guest.run(programs.rdtsc);
    const expected = this.machine.config.cr4 & Cr4.TSD ? `#GP at ${hex(CODE)}` : `#BP at ${hex(CODE + 3)}`;
    this.find('RDTSC', expected, outcome.text);
  }

  private pageFaults(): void {
    const expect = (name: string, outcome: Outcome, rip: number, code: number, address: number): void =>
      this.find(name, `#PF at ${hex(rip)}, error code ${code}, address ${hex(address)}`, outcome.text);
    // Error code (SDM vol. 3, 4.7): 1 = protection, 2 = write, 4 = user, 16 = fetch.
    const readOnly = CODE + 0x7f8;
    expect(
      'write to a read-only page',
      this.guest.run(programs.store, { rdi: BigInt(readOnly) }),
      CODE,
      7,
      readOnly,
    );
    const absent = 0x7fff_1234_5678;
    expect('read of an absent page', this.guest.run(programs.load, { rdi: BigInt(absent) }), CODE, 4, absent);
    expect('execution of data', this.guest.run(programs.jump, { rdi: BigInt(DATA) }), DATA, 21, DATA);
  }

  private singleStep(): void {
    const outcome = this.guest.run(programs.nops, { eflags: 0x202n | EFLAGS_TF });
    const seen = this.ended(outcome, DB) && outcome.dr6 & DR6_STEP ? `${outcome.text}, DR6.BS` : outcome.text;
    this.find('single step', `#DB at ${hex(CODE + 1)}, DR6.BS`, seen);
  }

  private breakpoint(): void {
    const { context } = this.machine;
    const at = CODE + 2;
    context.setBreakpoint(1, at as typeof CODE);
    const outcome = this.guest.run(programs.nops);
    const seen = this.ended(outcome, DB) ? `${outcome.text}, DR6 ${hex(outcome.dr6 & 0xf)}` : outcome.text;
    this.find('hardware breakpoint', `#DB at ${hex(at)}, DR6 0x2`, seen);
    context.setBreakpoint(1, null);
  }

  /** Not required by replays: debuggers protect pages instead. */
  private dataBreakpoint(): void {
    const { context } = this.machine;
    const at = DATA + 8;
    context.setDataBreakpoint(3, at as typeof DATA, 8, false);
    const outcome = this.guest.run(programs.store, { rdi: BigInt(at) });
    context.release(3);
    this.has.dataBreakpoints =
      this.ended(outcome, DB) && outcome.rip === BigInt(CODE + 3) && (outcome.dr6 & 0xf) === 8;
    const seen = this.has.dataBreakpoints ? 'present' : 'absent, pages are protected instead';
    this.find('data breakpoint', 'present, or done by page protection', seen, true);
  }

  private fsBase(): void {
    const value = 0x1122_3344_5566_7788n;
    new DataView(this.guest.data.buffer, this.guest.data.byteOffset).setBigUint64(0x100, value, true);
    const load = this.guest.run(programs.loadFs, { fs_base: BigInt(DATA + 0x100) });
    const seen = this.ended(load, BP) ? hex(this.guest.register('rax')) : load.text;
    this.find('fs_base', hex(value), seen);
    const write = this.guest.run(programs.wrfsbase, { rdx: BigInt(DATA) });
    if (this.machine.config.cr4 & Cr4.FSGSBASE) {
      this.find(
        'WRFSBASE',
        hex(DATA),
        this.ended(write, BP) ? hex(this.guest.register('fs_base')) : write.text,
      );
    } else {
      this.find('WRFSBASE', `#UD at ${hex(CODE)}`, write.text);
    }
  }

  private xgetbv(): void {
    const outcome = this.guest.run(programs.xgetbv0);
    if (this.ended(outcome, BP)) {
      this.xcr0Seen = (this.guest.register('rdx') << 32n) | this.guest.register('rax');
    }
    const text = (xcr0: bigint): string => `${hex(xcr0)} (${xcr0Names(xcr0).join(', ')})`;
    const seen = this.xcr0Seen === null ? outcome.text : text(this.xcr0Seen);
    const { shownXcr0, isVirtual } = this.machine;
    const isHidden = !isVirtual && shownXcr0 !== this.xcr0 && this.xcr0Seen === shownXcr0;
    if (isHidden) this.find('XCR0 by XGETBV', `${text(this.xcr0)}, or hidden`, `${seen}: hidden`, true);
    else this.find('XCR0 by XGETBV', text(this.xcr0), seen);
  }

  /** As it was set, where nothing of the recorded one is kept beside the processor. */
  private get xcr0(): bigint {
    const { config, xcr0 } = this.machine;
    return config.completion ? xcr0 : config.xcr0;
  }

  private xsaveLayout(): void {
    const layout = hardwareLayout(this.machine.hardwareCpuid, this.xcr0);
    this.findings.push(...checkXsaveLayout(this.guest, layout));
  }

  /** XRSTOR and XSAVE by the ring-0 stub: the program sees the loaded state, and it is saved again. */
  private vectorState(): void {
    const { context } = this.machine;
    const view = new DataView(context.xstate.buffer, context.xstate.byteOffset);
    const [xmm0, mxcsr, header] = [160, 24, 512];
    const value = 0x0102_0304_0506_0708n;
    context.xstate.fill(0);
    view.setUint32(mxcsr, 0x1f80, true);
    view.setBigUint64(xmm0, value, true);
    view.setBigUint64(header, 3n, true);
    context.requestXrstor();
    const outcome = this.guest.run(programs.storeXmm0, { rdi: BigInt(DATA) });
    const stored = new DataView(this.guest.data.buffer, this.guest.data.byteOffset).getBigUint64(0, true);
    this.find('XRSTOR', hex(value), this.ended(outcome, BP) ? hex(stored) : outcome.text);
    if (!this.ended(outcome, BP)) return;
    context.xstate.fill(0);
    this.machine.saveXstate();
    this.find('XSAVE', hex(value), hex(view.getBigUint64(xmm0, true)));
    context.xstate.fill(0);
    view.setUint32(mxcsr, 0x1f80, true);
    context.requestXrstor(); // XSTATE_BV 0: the initial state
  }

  private optionalInstructions(): void {
    const recorded = findEntry(this.machine.config.cpuid, 0xd, 1);
    const has = (outcome: Outcome, missing: number): boolean | null =>
      this.ended(outcome, BP) ? true : this.ended(outcome, missing) ? false : null;
    const mask = { rax: 7n, rdi: BigInt(DATA) };
    const note = (name: string, there: boolean | null, bit: number, outcome: Outcome): boolean => {
      const wanted = recorded !== undefined && (recorded.eax & bit) !== 0;
      const seen = there === null ? outcome.text : there ? 'present' : 'absent, completed in software';
      this.find(name, wanted ? 'present, or completed in software' : 'any', seen, there !== null);
      return there === true;
    };
    this.guest.data.fill(0);
    let outcome = this.guest.run(programs.xsavec, mask);
    this.has.xsavec = note('XSAVEC', has(outcome, UD), 2, outcome);
    outcome = this.guest.run(programs.xgetbv1);
    this.has.xgetbv1 = note('XGETBV(1)', has(outcome, GP), 4, outcome);
    this.guest.data.fill(0);
    // XCOMP_BV: compacted, x87 and SSE; XSTATE_BV 0: the initial state.
    new DataView(this.guest.data.buffer, this.guest.data.byteOffset).setBigUint64(
      520,
      (1n << 63n) | 3n,
      true,
    );
    outcome = this.guest.run(programs.xrstor, mask);
    this.has.compactedXrstor = note('XRSTOR of a compacted area', has(outcome, GP), 2, outcome);
  }
}
