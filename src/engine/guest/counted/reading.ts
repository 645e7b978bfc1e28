import type * as Iced from 'iced-x86';
import { USER_END, gva, type Gva } from '../../base/address.js';
import { InstructionDecoder, type Insn } from '../../x86/decode.js';
import { iced } from '../../x86/iced.js';
import { prefixCount } from '../../x86/instruction-length.js';
import { isSought } from '../../x86/instruction-sites.js';
import { isInReach, type Assembler } from './assembler.js';
import { OPERAND_SIZE, POPF } from './opcodes.js';
import type { Source } from './unit.js';

/** Bytes of a unit, more than it ever has: by so much its last instruction may be nearer to what it addresses, or farther. */
const MAX_ADDED = 0x2_0000;
export const [FS, GS, ADDRESS_SIZE] = [0x64, 0x65, 0x67];
const REX_W = 0x48;

const kinds = new InstructionDecoder();

/** Where in an instruction its displacement is, and where it leads; null: nothing is relative to rip. */
export type RelativeOperand = { readonly at: number; readonly target: number } | null;

/** The instructions of a page, one at a time: methods without an offset are of the one that was decoded last. */
export class Reading {
  readonly instruction: Iced.Instruction;
  private readonly decoder: Iced.Decoder;

  constructor(private readonly source: Source) {
    const { Decoder, DecoderOptions, Instruction } = iced();
    this.decoder = new Decoder(64, source.bytes, DecoderOptions.None);
    this.instruction = new Instruction();
  }

  /** @returns where the instruction at an offset ends; -1: it is none */
  decode(offset: number): number {
    const { decoder, instruction, source } = this;
    decoder.position = offset;
    decoder.ip = BigInt(source.page + offset);
    decoder.decodeOut(instruction);
    return instruction.isInvalid ? -1 : offset + instruction.length;
  }

  free(): void {
    this.instruction.free();
    this.decoder.free();
  }

  /** POPF may set the trap flag, and MOV SS holds breakpoints and traps back until after the next instruction. */
  get isDelicate(): boolean {
    const { Mnemonic, Register } = iced();
    const { mnemonic, op0Register } = this.instruction;
    switch (mnemonic) {
      case Mnemonic.Popf:
      case Mnemonic.Popfd:
      case Mnemonic.Popfq:
        return true;
      case Mnemonic.Mov:
      case Mnemonic.Pop:
        return op0Register === Register.SS;
      default:
        return false;
    }
  }

  /** POPF, with no prefix but that for 16 bits. */
  isPopFlags(offset: number): boolean {
    const { bytes } = this.source;
    return bytes[offset] === POPF || (bytes[offset] === OPERAND_SIZE && bytes[offset + 1] === POPF);
  }

  /** What the instruction is, if it is hidden. */
  hiddenKind(offset: number): Insn | null {
    const { bytes, hides } = this.source;
    if (hides === null) return null;
    const kind = kinds.decode(bytes, offset);
    return isSought(kind, hides) ? kind : null;
  }

  /** What of the instruction is relative to rip, if anything; `odd`: it cannot be copied to about `here`. */
  relativeOperand(here: number): RelativeOperand | 'odd' {
    const { instruction } = this;
    if (!instruction.isIpRelMemoryOperand) return null;
    if (instruction.memoryBase !== iced().Register.RIP) return 'odd';
    const target = signed(instruction.ipRelMemoryAddress);
    // What is added to the instruction until then is short.
    if (!isInReach(target - here) || !isInReach(target - here - MAX_ADDED)) return 'odd';
    return { at: this.displacementOffset(), target };
  }

  /** Of a direct transfer; null where it is not in user space, or means different things to different processors. */
  directTarget(offset: number): Gva | null {
    if (this.isSized(offset)) return null;
    const target = this.instruction.nearBranchTarget;
    return target < BigInt(USER_END) ? gva(Number(target)) : null;
  }

  /**
   * Whether a branch has a prefix that AMD's processors take for a size of 16 bits and Intel's ignore (APM vol. 3, 1.2.7). REX.W
   * outweighs it on both: the dynamic linker's sequences for thread-local variables are padded so (66 66 48 E8).
   */
  isSized(offset: number): boolean {
    const { bytes } = this.source;
    const opcode = this.opcodeAt(offset);
    const isWide = opcode > offset && (bytes[opcode - 1] & 0xf8) === REX_W;
    return !isWide && bytes.subarray(offset, opcode).includes(OPERAND_SIZE);
  }

  /** Where the opcode is, after prefixes. */
  opcodeAt(offset: number): number {
    return offset + prefixCount(this.source.bytes, offset);
  }

  private displacementOffset(): number {
    const offsets = this.decoder.getConstantOffsets(this.instruction);
    try {
      return offsets.displacementOffset;
    } finally {
      offsets.free();
    }
  }
}

/** An address that iced computed modulo 2^64. */
export const signed = (address: bigint): number => Number(BigInt.asIntN(64, address));

/** Appends a copy of the instruction from `offset` to `end`. */
export function appendCopy(
  code: Assembler,
  bytes: Uint8Array,
  { offset, end }: { offset: number; end: number },
  memory: RelativeOperand,
): void {
  const start = code.length;
  code.emit(bytes.subarray(offset, end));
  // Relative to the instruction's end, and an immediate may follow.
  if (memory) code.patchRelative(start + memory.at, memory.target - (end - offset - memory.at - 4));
}

/**
 * Appends a conditional branch but for its displacement.
 * @param mark called before instructions that are executed when it was not taken, and when it was
 */
export function appendBranch(
  code: Assembler,
  bytes: Uint8Array,
  { offset, opcode }: { offset: number; opcode: number },
  mark: { readonly after: () => void; readonly target: () => void },
): void {
  const first = bytes[opcode];
  if (first >= 0xe0 && first <= 0xe3) {
    // LOOP and JRCXZ have short displacements only.
    if (bytes.subarray(offset, opcode).includes(ADDRESS_SIZE)) code.emit([ADDRESS_SIZE]);
    code.emit([first, 0x02]);
    mark.after();
    code.emit([0xeb, 0x05]);
    mark.target();
    code.emit([0xe9]);
  } else code.emit([0x0f, 0x80 | ((first === 0x0f ? bytes[opcode + 1] : first) & 0xf)]);
}
