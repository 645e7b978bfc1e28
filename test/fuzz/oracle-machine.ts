import { wordsToNumber, type Gva } from '../../src/engine/base/address.js';
import { Reg, setSigned } from '../../src/engine/base/registers.js';
import { ContextPage } from '../../src/engine/kvm/context-page.js';
import { StagedCalls } from '../../src/engine/kvm/staged-calls.js';
import { cpuidEntries, cpuidRecords } from '../../src/engine/kvm/cpuid.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { ContextOffset, Ring0, Vector } from '../../src/engine/kvm/layout.js';
import type { Machine, MachineConfig } from '../../src/engine/kvm/machine.js';
import { SIGNALS_AS_VECTORS } from './signal-vectors.js';
import type { ReplayCore } from '../../src/engine/replay/state/core.js';
import { InitPreload, UNTRACED_EXITS } from '../../src/engine/guest/rr-abi.js';
import { EventKind, type TraceFrame } from '../../src/engine/trace/frame.js';
import type { TraceHeader } from '../../src/engine/trace/records.js';
import type { Random } from '../trace/mutate.js';

/** Deterministic only by its flag (rr-traces.md 8.2). */
const SIGBUS = 7;
const RDTSC = Uint8Array.of(0x0f, 0x31);
/** Offset of the descriptor classes, the first field that rr writes in the preload library's globals. */
const FD_CLASSES = 8;
const POOL_BYTES = 48 * 2 ** 20;

/**
 * A machine without a processor: every run ends at once at the frame's event, with the recorded registers,
 * now and then at something else. So a session plans and performs frame after frame at the speed of its
 * own code.
 */
export class OracleMachine {
  readonly context: ContextPage;
  readonly staged: StagedCalls;
  readonly firstFree = Ring0.end;
  readonly kernelPml4Low = 0x11003;
  readonly kernelPml4High = 0;
  readonly hardwareCpuid;
  readonly cpuidDifferences = [];
  readonly config: MachineConfig;
  /** As recorded: nothing is kept beside the vCPU, or hidden. */
  readonly xcr0: bigint;
  readonly shownXcr0: bigint;
  readonly hidesCpuid = false;
  readonly completedInstructions = 0;
  readonly branchCounter = null;
  readonly reserved = null;
  readonly transport = { kind: 'emulated', description: 'synthetic' };
  /** The session's state, to see the program's memory; set once it is open. */
  core: ReplayCore | null = null;
  /** The frame whose event comes next. */
  frame: TraceFrame | null = null;
  /** The one after it. */
  next: TraceFrame | null = null;
  random: Random = () => 1;
  /** Exits that no frame announces are among the others. */
  surprises = false;
  private readonly words: Uint32Array;

  /** @param pool reused from run to run: a session leaves it as it found it */
  constructor(
    private readonly header: TraceHeader,
    readonly pool = new ArrayBuffer(POOL_BYTES),
  ) {
    this.context = new ContextPage(pool);
    this.staged = new StagedCalls(pool);
    this.words = new Uint32Array(pool, Ring0.context, 1024);
    this.words.fill(0);
    const cpuid = cpuidEntries(header.cpuidRecords);
    this.hardwareCpuid = cpuidRecords(cpuid);
    this.xcr0 = this.shownXcr0 = header.xcr0;
    this.config = { cpuid, xcr0: header.xcr0, cr4: 0, cpuidFaulting: false };
  }

  asMachine(): Machine {
    return this as unknown as Machine;
  }

  run(): Exit {
    const { frame, context } = this;
    if (!frame) return Exit.Failed;
    if (this.surprises && this.random(200) === 0) return this.surprise();
    if (frame.hasRegisters) context.registers.set(frame.registers);
    const rip = wordsToNumber(frame.registers[2 * Reg.rip], frame.registers[2 * Reg.rip + 1]);
    switch (frame.kind) {
      case EventKind.patchSyscall:
        return this.syscallAt(rip + 2);
      case EventKind.syscall:
        context.registers.copyWithin(2 * Reg.rax, 2 * Reg.orig_rax, 2 * Reg.orig_rax + 2);
        if (frame.syscallNumber === this.header.rrcallBase) this.nameGlobals(frame);
        if (UNTRACED_EXITS.includes(rip)) return this.breakpointAt(rip - 2);
        return this.syscallAt(rip);
      case EventKind.instructionTrap:
        this.core?.current?.space.write((rip - 2) as Gva, RDTSC);
        setSigned(context.registers, Reg.rip, rip - 2);
        return this.exception(13);
      case EventKind.syscallbufFlush: {
        const flushPoint = this.core?.current?.preload.breakpointInstruction ?? 0;
        setSigned(context.registers, Reg.rip, flushPoint);
        return this.exception(13);
      }
      case EventKind.signal:
        if (frame.deterministic && frame.siginfo[0] !== SIGBUS)
          return this.exception(SIGNALS_AS_VECTORS[frame.siginfo[0] ?? 0] ?? 6);
        return this.breakpointAt(rip);
      default:
        return this.breakpointAt(rip);
    }
  }

  saveXstate(): void {}
  halt(): void {}
  leaveAddressSpace(): void {}
  codeWritten(): void {}
  describeFailure(): string {
    return 'a made-up failure';
  }

  /** What the preload library's own code would have stored: where its globals are, and the flush point. */
  private nameGlobals(frame: TraceFrame): void {
    const space = this.core?.current?.space;
    const classes = this.next?.memWrites[0];
    if (!space || !classes) return;
    const at = wordsToNumber(frame.registers[2 * Reg.rdi], frame.registers[2 * Reg.rdi + 1]);
    const pointer = (offset: number, value: number): void => {
      const bytes = new DataView(new ArrayBuffer(8));
      bytes.setBigUint64(0, BigInt(Math.max(0, value)), true);
      space.write((at + offset) as Gva, new Uint8Array(bytes.buffer));
    };
    pointer(InitPreload.globals, wordsToNumber(classes.addressLow, classes.addressHigh) - FD_CLASSES);
    pointer(InitPreload.breakpointInstruction, wordsToNumber(frame.registers[2 * Reg.rip], 0));
  }

  /** An exit that the frame does not announce. */
  private surprise(): Exit {
    const vector = this.random(32);
    if (vector === 14) {
      this.words[ContextOffset.cr2 / 4] = this.random(2 ** 32);
      this.words[ContextOffset.cr2 / 4 + 1] = this.random(4) ? this.random(1 << 15) : 0xffff_ffff;
      this.words[ContextOffset.errorCode / 4] = this.random(64);
    }
    if (vector === 2) return Exit.Failed;
    return vector === 3 ? this.syscallAt(0x7000_0000 + this.random(27)) : this.exception(vector);
  }

  private syscallAt(rip: number): Exit {
    setSigned(this.context.registers, Reg.rip, rip);
    this.context.vector = Vector.syscall;
    return Exit.Syscall;
  }

  private breakpointAt(rip: number): Exit {
    setSigned(this.context.registers, Reg.rip, rip);
    this.words[ContextOffset.dr6 / 4] = 1;
    return this.exception(1);
  }

  private exception(vector: number): Exit {
    this.context.vector = vector;
    return Exit.Exception;
  }
}
