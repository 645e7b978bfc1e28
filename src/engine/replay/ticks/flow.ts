/**
 * Straight runs of code: where they end and how control leaves them. Decoded by iced-x86, which is loaded
 * when ticks are first counted.
 */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import { wordsToGva, type Gva, offsetBy, gva, NO_ADDRESS } from '../../base/address.js';
import { Reg, getRegister, type RegisterWords } from '../../base/registers.js';

/** How control leaves a run. */
export const Flow = {
  /** Goes on at `end`: the run was cut for its length. */
  onward: 0,
  /** JMP or CALL to `target`. */
  jump: 1,
  /** Jcc, JRCXZ, LOOPcc to `target` or `end`: one tick. */
  conditional: 2,
  /** RET. */
  return: 3,
  /** JMP or CALL by register or memory: `operand`. */
  indirect: 4,
  /** A system call or an instruction that raises an exception: the guest leaves by itself. */
  exits: 5,
  /** To be single-stepped: MOV SS, which delays breakpoints after it, far transfers, transactions. */
  odd: 6,
} as const;
export type Flow = (typeof Flow)[keyof typeof Flow];

/** Where an indirect transfer finds its target. Slots are of `Reg`, -1 = none. */
export interface FlowOperand {
  readonly register: number;
  readonly base: number;
  readonly index: number;
  readonly scale: bigint;
  readonly displacement: bigint;
  readonly segment: number;
}

export interface Run {
  /** The bytes from the run's start to `end`, by which a cached run is checked. */
  readonly bytes: Uint8Array;
  /** Address of the instruction that leaves, the run's last. */
  readonly last: Gva;
  /** Address after it. */
  readonly end: Gva;
  readonly flow: Flow;
  /** Of a direct transfer; -1 if it is no user address. */
  readonly target: Gva;
  readonly operand: FlowOperand | null;
}

let loaded: typeof Iced | undefined;
function iced(): typeof Iced {
  loaded ??= createRequire(import.meta.url)('iced-x86') as typeof Iced;
  return loaded;
}

/**
 * Decodes the run at `start`.
 * @param bytes what is readable there; a run ends with it at the latest
 */
export function decodeRun(bytes: Uint8Array, start: Gva): Run {
  const { Decoder, DecoderOptions, FlowControl, Instruction } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  try {
    decoder.ip = BigInt(start);
    let last = start as number;
    for (let at = 0; at < bytes.length;) {
      last = start + at;
      decoder.decodeOut(instruction);
      if (instruction.isInvalid) return cut(bytes, start, at);
      at += instruction.length;
      const end = offsetBy(start, at);
      const flow = flowOf(instruction);
      if (flow === Flow.onward && instruction.flowControl === FlowControl.Next) continue;
      const direct = flow === Flow.jump || flow === Flow.conditional;
      return {
        bytes: bytes.slice(0, at),
        last: gva(last),
        end,
        flow,
        target: direct ? userAddress(instruction.nearBranchTarget) : NO_ADDRESS,
        operand: flow === Flow.indirect ? operandOf(instruction) : null,
      };
    }
    return cut(bytes, start, bytes.length);
  } finally {
    instruction.free();
    decoder.free();
  }
}

/** A run whose next instruction does not decode: if it is the first, it leaves by an exception. */
function cut(bytes: Uint8Array, start: Gva, length: number): Run {
  const end = offsetBy(start, length);
  const flow = length === 0 ? Flow.exits : Flow.onward;
  return { bytes: bytes.slice(0, length), last: end, end, flow, target: NO_ADDRESS, operand: null };
}

function flowOf(instruction: Iced.Instruction): Flow {
  const { FlowControl, Mnemonic, Register } = iced();
  switch (instruction.flowControl) {
    case FlowControl.Next:
      return instruction.opCount === 2 && instruction.op0Register === Register.SS ? Flow.odd : Flow.onward;
    case FlowControl.UnconditionalBranch:
      return Flow.jump;
    case FlowControl.ConditionalBranch:
      return Flow.conditional;
    case FlowControl.Call:
      return instruction.mnemonic === Mnemonic.Call ? Flow.jump : Flow.exits;
    case FlowControl.Return:
      return instruction.mnemonic === Mnemonic.Ret ? Flow.return : Flow.odd;
    case FlowControl.IndirectBranch:
    case FlowControl.IndirectCall:
      return instruction.isJmpFarIndirect || instruction.isCallFarIndirect ? Flow.odd : Flow.indirect;
    case FlowControl.XbeginXabortXend:
      return Flow.odd;
    default:
      return Flow.exits;
  }
}

function operandOf(instruction: Iced.Instruction): FlowOperand {
  const { OpKind, Register } = iced();
  const memory = instruction.op0Kind === OpKind.Memory;
  // iced folds rip into the displacement.
  const relative = instruction.isIpRelMemoryOperand;
  const segment = instruction.memorySegment;
  return {
    register: memory ? -1 : slotOf(instruction.op0Register),
    base: memory && !relative ? slotOf(instruction.memoryBase) : -1,
    index: memory ? slotOf(instruction.memoryIndex) : -1,
    scale: BigInt(memory ? instruction.memoryIndexScale : 1),
    displacement: memory ? instruction.memoryDisplacement : 0n,
    segment: segment === Register.FS ? Reg.fs_base : segment === Register.GS ? Reg.gs_base : -1,
  };
}

// prettier-ignore
const SLOTS = [
  Reg.rax, Reg.rcx, Reg.rdx, Reg.rbx, Reg.rsp, Reg.rbp, Reg.rsi, Reg.rdi,
  Reg.r8, Reg.r9, Reg.r10, Reg.r11, Reg.r12, Reg.r13, Reg.r14, Reg.r15,
];

/** Slot of a 64-bit register in iced's numbering; -1 for none and for others. */
function slotOf(register: number): number {
  return SLOTS[register - iced().Register.RAX] ?? -1;
}

const userAddress = (address: bigint): Gva =>
  wordsToGva(Number(address & 0xffff_ffffn), Number(address >> 32n));

/**
 * Where an indirect transfer goes.
 * @param read the 8 bytes at an address, or null if nothing is mapped there
 * @returns -1 if that is no user address or cannot be known
 */
export function indirectTarget(
  operand: FlowOperand,
  registers: RegisterWords,
  read: (at: Gva) => bigint | null,
): Gva {
  if (operand.register >= 0) return userAddress(getRegister(registers, operand.register));
  let sum = operand.displacement;
  if (operand.base >= 0) sum += getRegister(registers, operand.base);
  if (operand.index >= 0) sum += getRegister(registers, operand.index) * operand.scale;
  if (operand.segment >= 0) sum += getRegister(registers, operand.segment);
  const at = userAddress(BigInt.asUintN(64, sum));
  const value = at < 0 ? null : read(at);
  return value === null ? NO_ADDRESS : userAddress(value);
}
