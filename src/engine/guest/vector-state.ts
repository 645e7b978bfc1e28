import { type Gva, offsetBy, NO_ADDRESS } from '../base/address.js';
import { Reg, type RegisterWords } from '../base/registers.js';
import type { Machine } from '../kvm/machine.js';
import { Prot } from '../mm/vma.js';
import type { Task } from '../task/task.js';
import type { TraceHeader } from '../trace/records.js';
import { Insn, type InstructionDecoder } from '../x86/decode.js';
import { machineLayout } from '../x86/completion.js';
import { differingVectors } from '../x86/xstate-compare.js';
import { composeXsave, composeXsavec, composeXsaveopt, type AreaChunk } from '../x86/xsavec.js';
import { xsaveTraits, type XsaveTraits } from '../x86/xsave-traits.js';
import { loadXrstor } from '../x86/xrstor.js';
import {
  MXCSR_MASK,
  checkImage,
  convertImage,
  readU32,
  readPkru,
  readU64,
  resetImage,
  writePkru,
  writeU64,
  xgetbv1,
} from '../x86/xstate-image.js';
import {
  AVX,
  EXTENDED_OFFSET,
  HEADER_OFFSET,
  LEGACY_SIZE,
  PKRU,
  componentsDiffer,
  findComponent,
  findLeaf,
  recordedLayout,
  type XstateLayout,
} from '../x86/xstate-layout.js';

/** CPUID (0xD, 1) EAX: XSAVEOPT, XSAVEC and XGETBV with ECX = 1. */
const LEAF_XSTATE = 0xd;
const EAX_XSAVEOPT = 1 << 0;
const EAX_XSAVEC = 1 << 1;
const EAX_XGETBV1 = 1 << 2;
const ZMM_HIGH_BIT = 6;

/**
 * The vector state of tasks: between the recorded layout of XSAVE images, the hardware's, and the vCPU's
 * registers. Images of tasks are standard-form and in the hardware's layout.
 */
export class VectorState {
  readonly recorded: XstateLayout;
  readonly hardware: XstateLayout;
  /**
   * The processor lacks components, or has them elsewhere than recorded: neither XGETBV nor an instruction of the XSAVE
   * family may reach it.
   */
  readonly differs: boolean;
  /** Components that the processor lacks are kept behind those that it has: see native/kvm/completer.h. */
  private readonly keepsBeside: boolean;
  readonly recordsXsaveopt: boolean;
  readonly recordsXsavec: boolean;
  readonly recordsXgetbv1: boolean;
  private readonly initial: Uint8Array;
  private compared: Uint8Array | null = null;
  /** The recorded processor's implementation-defined behaviour of XSAVE. The mask is learnt from recorded images. */
  private readonly rules: XsaveTraits & { mxcsrMask?: number };

  constructor(
    private readonly machine: Machine,
    header: TraceHeader,
  ) {
    this.recorded = recordedLayout(header.cpuidRecords, header.xcr0);
    this.hardware = machineLayout(machine.hardwareCpuid, this.recorded, machine.xcr0);
    this.keepsBeside = (this.recorded.xcr0 & ~machine.xcr0) !== 0n;
    const features = findLeaf(header.cpuidRecords, LEAF_XSTATE, 1)?.eax ?? 0;
    const shown = machine.shownXcr0 === this.recorded.xcr0;
    this.differs = this.keepsBeside || !shown || componentsDiffer(this.recorded, this.hardware);
    this.recordsXsaveopt = (features & EAX_XSAVEOPT) !== 0;
    this.recordsXsavec = (features & EAX_XSAVEC) !== 0;
    this.recordsXgetbv1 = (features & EAX_XGETBV1) !== 0;
    const traits = xsaveTraits(header.cpuidRecords);
    // rr's measurement takes precedence over CPUID.
    const measured = header.xsaveFipFdpQuirk;
    const pointersOnlyOnError = measured === 'unknown' ? traits.pointersOnlyOnError : measured === 'true';
    this.rules = { ...traits, pointersOnlyOnError };
    this.initial = resetImage(this.hardware);
  }

  /** The recording kernel's MXCSR_MASK as learnt so far; part of a replay's state. */
  get learntMask(): number | undefined {
    return this.rules.mxcsrMask;
  }

  learn(mask: number): void {
    this.rules.mxcsrMask ??= mask;
  }

  /** The vCPU's state, into `reuse` if it has the size. Costs an exit. */
  save(reuse: Uint8Array | null): Uint8Array {
    this.machine.saveXstate();
    const image = reuse ?? new Uint8Array(this.hardware.size);
    image.set(this.machine.context.xstate.subarray(0, this.hardware.size));
    if (this.keepsBeside) this.markBeside(image);
    return image;
  }

  /** A copy of a task's image, or of the initial state. */
  copy(image: Uint8Array | null): Uint8Array {
    return (image ?? this.initial).slice();
  }

  /** Loads a task's image, or the initial state, on the next entry. */
  load(image: Uint8Array | null): void {
    this.machine.context.xstate.set(image ?? this.initial);
    if (this.keepsBeside) this.loadBeside();
    this.machine.context.requestXrstor();
  }

  /** XSTATE_BV of what the processor did not save: by content. */
  private markBeside(image: Uint8Array): void {
    const inForce = BigInt(this.machine.context.xcr0);
    let present = readU64(image, HEADER_OFFSET) & inForce;
    for (const { bit, offset, size } of this.hardware.components) {
      const mask = 1n << BigInt(bit);
      if (!(inForce & mask) && !isZeroFilled(image, offset, size)) present |= mask;
    }
    writeU64(image, HEADER_OFFSET, present);
  }

  /**
   * What the processor does not load: stored as it is, zeros for initial values, and without a bit of XSTATE_BV. With upper
   * halves of ZMM0 to ZMM15 that are not zero, AVX belongs to it where it can be switched off.
   */
  private loadBeside(): void {
    const { context, xcr0 } = this.machine;
    const { xstate } = context;
    const present = readU64(xstate, HEADER_OFFSET);
    const upper = findComponent(this.hardware, ZMM_HIGH_BIT);
    const isKept = upper !== undefined && !(xcr0 & (1n << BigInt(ZMM_HIGH_BIT)));
    const isDirty =
      isKept &&
      this.machine.isVirtual &&
      (present & (1n << BigInt(ZMM_HIGH_BIT))) !== 0n &&
      !isZeroFilled(xstate, upper.offset, upper.size);
    const inForce = isDirty ? xcr0 & ~AVX : xcr0;
    for (const { bit, offset, size } of this.hardware.components) {
      const mask = 1n << BigInt(bit);
      if (!(inForce & mask) && !(present & mask)) xstate.fill(0, offset, offset + size);
    }
    writeU64(xstate, HEADER_OFFSET, present & inForce);
    context.requestXcr0(Number(inForce & 0xffff_ffffn));
  }

  /** Loads a recorded image on the next entry. */
  loadRecorded(recorded: Uint8Array): void {
    this.load(this.fromRecorded(recorded));
  }

  /** @throws RevenantError if the image is malformed or has a component that this processor lacks */
  fromRecorded(recorded: Uint8Array): Uint8Array {
    this.rules.mxcsrMask ??= recordedMask(recorded);
    return convertImage(recorded, this.recorded, this.hardware);
  }

  /** Names of the registers in which the vCPU differs from a recorded image (xstate-compare.ts). Costs an exit. */
  differences(recorded: Uint8Array): string[] {
    checkImage(recorded, this.recorded);
    this.compared = this.save(this.compared);
    return differingVectors(
      { image: recorded, layout: this.recorded },
      { image: this.compared, layout: this.hardware },
    );
  }

  /** XGETBV, into eax and edx; false for an ECX that the recorded processor had not. */
  xgetbv(registers: RegisterWords): boolean {
    const index = registers[2 * Reg.rcx];
    if (index > 1 || (index === 1 && !this.recordsXgetbv1)) return false;
    const value = index === 0 ? this.recorded.xcr0 : xgetbv1(this.save(null), this.hardware, this.rules);
    setLow32(registers, Reg.rax, Number(value & 0xffff_ffffn));
    setLow32(registers, Reg.rdx, Number(value >> 32n));
    return true;
  }

  /**
   * RDPKRU. False where it is to raise the exception that it raised: PKRU is in the processor, or the recorded one had not, or
   * ECX is not zero.
   */
  rdpkru(registers: RegisterWords): boolean {
    if (!this.keepsPkru || registers[2 * Reg.rcx] !== 0) return false;
    setLow32(registers, Reg.rax, readPkru(this.save(null), this.hardware) ?? 0);
    setLow32(registers, Reg.rdx, 0);
    return true;
  }

  /** WRPKRU; false as for RDPKRU. Accesses that the new value forbids are not forbidden. */
  wrpkru(registers: RegisterWords): boolean {
    const [eax, ecx, edx] = [Reg.rax, Reg.rcx, Reg.rdx].map((register) => registers[2 * register]);
    if (!this.keepsPkru || ecx !== 0 || edx !== 0) return false;
    const image = this.save(null);
    writePkru(image, this.hardware, eax);
    this.load(image);
    return true;
  }

  /** PKRU is beside the processor. */
  private get keepsPkru(): boolean {
    return (this.recorded.xcr0 & ~this.machine.xcr0 & PKRU) !== 0n;
  }

  /** XSAVE, XSAVEOPT or XSAVEC to the instruction's operand; false if it faults. */
  store(task: Task, registers: RegisterWords, decoder: InstructionDecoder): boolean {
    const at = this.operand(registers, decoder);
    const header = new Uint8Array(8);
    if (at < 0 || task.space.read(offsetBy(at, HEADER_OFFSET), header) < header.length) return false;
    const chunks = this.compose(decoder, maskOf(registers), readU64(header, 0));
    for (const { offset, bytes } of chunks) {
      if (!task.space.allows(offsetBy(at, offset), bytes.length, Prot.write)) return false;
    }
    for (const { offset, bytes } of chunks) task.space.write(offsetBy(at, offset), bytes);
    return true;
  }

  private compose(decoder: InstructionDecoder, mask: bigint, oldXstateBv: bigint): AreaChunk[] {
    const { hardware, recorded } = this;
    const rules = { ...this.rules, wide: decoder.wide };
    const state = this.save(null);
    if (decoder.kind === Insn.xsavec) return composeXsavec(state, hardware, recorded, mask, rules);
    const compose = decoder.kind === Insn.xsave ? composeXsave : composeXsaveopt;
    return compose(state, hardware, recorded, mask, oldXstateBv, rules);
  }

  /** XRSTOR of the area at the instruction's operand; false if it faults. */
  restore(task: Task, registers: RegisterWords, decoder: InstructionDecoder): boolean {
    const at = this.operand(registers, decoder);
    if (at < 0 || !task.space.allows(at, EXTENDED_OFFSET, Prot.read)) return false;
    const area = new Uint8Array(this.recorded.size);
    const readable = task.space.read(at, area);
    const image = loadXrstor(
      area.subarray(0, readable),
      this.save(null),
      this.hardware,
      this.recorded,
      maskOf(registers),
      { ...this.rules, hasXsavec: this.recordsXsavec, wide: decoder.wide },
    );
    if (!image) return false;
    this.load(image);
    return true;
  }

  /** The instruction's operand, or -1 where the processor raises #GP. */
  private operand(registers: RegisterWords, decoder: InstructionDecoder): Gva {
    const at = decoder.effectiveAddress(registers);
    return at % 64 === 0 ? at : NO_ADDRESS;
  }
}

function isZeroFilled(image: Uint8Array, offset: number, size: number): boolean {
  for (let at = offset; at < offset + size; at++) if (image[at] !== 0) return false;
  return true;
}

/** MXCSR_MASK of an image that the recording kernel saved; undefined in the images that rr makes up for handlers. */
function recordedMask(image: Uint8Array): number | undefined {
  return (image.length >= LEGACY_SIZE && readU32(image, MXCSR_MASK)) || undefined;
}

/** The requested-feature bitmap, edx:eax. */
function maskOf(registers: RegisterWords): bigint {
  return (BigInt(registers[2 * Reg.rdx]) << 32n) | BigInt(registers[2 * Reg.rax]);
}

function setLow32(registers: RegisterWords, slot: number, value: number): void {
  registers[2 * slot] = value;
  registers[2 * slot + 1] = 0;
}
