/** Loops whose turns the copies count in a register that the program does not use there. */
import { PAGE_SIZE, offsetBy } from '../../base/address.js';
import { Reg } from '../../base/registers.js';
import { iced } from '../../x86/iced.js';
import { instructionLength, prefixCount } from '../../x86/instruction-length.js';
import { flagsEffect } from './compared-branch.js';
import type { Reading, RelativeOperand } from './reading.js';
import type { Source } from './unit.js';

/** Instructions and bytes: a longer one does not become much faster. */
const MAX_LENGTH = 24;
const MAX_BYTES = 112;

/** Registers that may count, by the low three bits of their number: no instruction of a loop uses them implicitly. */
const COUNTERS = [Reg.r8, Reg.r9, Reg.r10, Reg.r11, Reg.r12, Reg.r13, Reg.r14, Reg.r15] as const;

/** `encoding`: the low three bits of the register's number. `slot`: its `Reg`. */
export interface LoopCounter {
  readonly encoding: number;
  readonly slot: number;
}

export interface LoopInstruction {
  /** Offsets in the page: of its first byte, its end, and its opcode. */
  readonly offset: number;
  readonly end: number;
  readonly opcode: number;
  readonly flow: 'next' | 'conditional' | 'jump';
  /** Of a transfer, as an offset from the page's start. */
  readonly target: number;
  readonly memory: RelativeOperand;
}

/** A loop whose turns begin with its first instruction: all transfers backwards within it go there. */
export interface Loop {
  readonly instructions: readonly LoopInstruction[];
  readonly counter: LoopCounter;
  /** Index of the instruction before which turns are counted; it is before any branch, and sets all flags. */
  readonly check: number;
  /** That may fault, and may be executed twice. */
  readonly twice: boolean;
  /** Conditional branches: no turn has more. */
  readonly branches: number;
}

/**
 * Finds the loop that lies between two offsets of a page, the second the end of a transfer to the first; or null.
 * @param reading to decode with: another instruction is its last afterwards
 */
export function findLoop(source: Source, reading: Reading, head: number, end: number): Loop | null {
  if (!source.loops || source.watched !== null) return null;
  if (end > PAGE_SIZE || !mayBeLoop(source.bytes, head, end)) return null;
  return new Finder(source, reading).find(head, end);
}

/** CALL, RET, far transfers, interrupts and ENTER. */
const LEAVING: ReadonlySet<number> = new Set([0xe8, 0xc2, 0xc3, 0xc8, 0xca, 0xcb, 0xcc, 0xcd, 0xcf, 0xf1]);

/** Without decoding much of it, since most of what is between a transfer and its target is no such loop. */
function mayBeLoop(bytes: Uint8Array, head: number, end: number): boolean {
  if (end - head > MAX_BYTES) return false;
  let at = head;
  for (let count = 0; at < end && count < MAX_LENGTH; count++) {
    const opcode = at + prefixCount(bytes, at);
    const first = bytes[opcode];
    const isIndirect =
      first === 0xff && ((bytes[opcode + 1] >> 3) & 7) >= 2 && ((bytes[opcode + 1] >> 3) & 7) <= 5;
    if (LEAVING.has(first) || isIndirect) return false;
    const behind = at + instructionLength(bytes, at);
    if (behind <= at) return false;
    if (first >> 4 === 7 || first === 0xeb) {
      const target = behind + ((bytes[behind - 1] << 24) >> 24);
      if (target <= at && target > head) return false;
    }
    at = behind;
  }
  return at === end;
}

/** Reads what is between a transfer and its target, once. */
class Finder {
  private readonly instructions: LoopInstruction[] = [];
  /** Bits of `COUNTERS`. */
  private used = 0;

  constructor(
    private readonly source: Source,
    private readonly reading: Reading,
  ) {}

  find(head: number, end: number): Loop | null {
    if (!this.read(head, end) || !this.isSimple(head, end)) return null;
    const { instructions, used } = this;
    const encoding = COUNTERS.findIndex((_, index) => !(used & (1 << index)));
    const branches = instructions.filter(({ flow }) => flow === 'conditional').length;
    const check = this.findCheck();
    if (encoding < 0 || !check) return null;
    return { instructions, counter: { encoding, slot: COUNTERS[encoding] }, branches, ...check };
  }

  /** @returns false where an instruction is not simply copied */
  private read(head: number, end: number): boolean {
    const { source, reading, instructions } = this;
    for (let offset = head; offset < end;) {
      const behind = reading.decode(offset);
      const isLeft = source.stopAt(offsetBy(source.page, offset)) !== null;
      if (behind < 0 || behind > end || isLeft || instructions.length === MAX_LENGTH) return false;
      const read = this.instructionAt(offset, behind);
      if (!read) return false;
      instructions.push(read);
      this.used |= highRegisters(source.bytes.subarray(offset, behind), read.opcode - offset);
      offset = behind;
    }
    return true;
  }

  private instructionAt(offset: number, end: number): LoopInstruction | null {
    const { FlowControl, Mnemonic } = iced();
    const { source, reading } = this;
    const { instruction } = reading;
    if (reading.hiddenKind(offset) !== null || reading.isDelicate) return null;
    const memory = reading.relativeOperand(source.at);
    if (memory === 'odd') return null;
    const common = { offset, end, opcode: reading.opcodeAt(offset), memory };
    if (instruction.flowControl === FlowControl.Next) return { ...common, flow: 'next', target: -1 };
    const isJump =
      instruction.flowControl === FlowControl.UnconditionalBranch && instruction.mnemonic === Mnemonic.Jmp;
    if (!isJump && instruction.flowControl !== FlowControl.ConditionalBranch) return null;
    const target = reading.directTarget(offset);
    return target === null
      ? null
      : { ...common, flow: isJump ? 'jump' : 'conditional', target: target - source.page };
  }

  /** Transfers within the loop go forwards, or begin a turn. */
  private isSimple(head: number, end: number): boolean {
    const starts = new Set(this.instructions.map(({ offset }) => offset));
    return this.instructions.every(({ flow, offset, target }) => {
      if (flow === 'next' || target < head || target >= end || target === head) return true;
      return target > offset && starts.has(target);
    });
  }

  private findCheck(): Pick<Loop, 'check' | 'twice'> | null {
    const { instructions } = this;
    const first = instructions.findIndex(({ flow }) => flow !== 'next');
    if (first < 0 || instructions[first].flow === 'jump') return null;
    for (let index = 0; index < first; index++) {
      const { offset, end } = instructions[index];
      const effect = flagsEffect(this.source.bytes.subarray(offset, end), end - offset);
      if (effect && (effect.isPure || !effect.usesMemory)) return { check: index, twice: effect.usesMemory };
    }
    return null;
  }
}

const [VEX2, VEX3, EVEX, XOP] = [0xc5, 0xc4, 0x62, 0x8f];
/** Bits of a REX prefix. */
const [R, X, B] = [4, 2, 1];

/**
 * Which of R8 to R15 an instruction may use, as bits: all that it does use, and sometimes others, because what its opcode
 * does with ModRM, SIB and register fields is not looked up. Not for SYSCALL and SYSRET, which use R11 unsaid. Pure.
 * @param opcode where the opcode is, behind prefixes
 */
export function highRegisters(code: Uint8Array, opcode: number): number {
  const { extension, at, operand } = extensionsOf(code, opcode);
  const [modrm, sib] = [code[at + 1] ?? 0, code[at + 2] ?? 0];
  const bit = (register: number): number => 1 << (register & 7);
  return (
    (extension & R ? bit(modrm >> 3) : 0) |
    (extension & X ? bit(sib >> 3) : 0) |
    (extension & B ? bit(code[at]) | bit(modrm) | bit(sib) : 0) |
    (operand >= 8 ? bit(operand) : 0)
  );
}

/** What extends register numbers, where the last byte of the opcode is, and the register of a VEX prefix. */
function extensionsOf(code: Uint8Array, opcode: number): { extension: number; at: number; operand: number } {
  const [first, second, third] = code.subarray(opcode);
  // They have these bits inverted.
  if (first === VEX2) return { extension: second & 0x80 ? 0 : R, at: opcode + 2, operand: 0 };
  const extension = (~second >> 5) & (R | X | B);
  // POP r/m has the same opcode as XOP, but the bits below 8 there: its ModRM.reg is 0.
  if (first === VEX3 || (first === XOP && (second & 0x1f) >= 8))
    return { extension, at: opcode + 3, operand: (~third >> 3) & 15 };
  if (first === EVEX) return { extension, at: opcode + 4, operand: 0 };
  const rex = opcode > 0 ? code[opcode - 1] : 0;
  const escape = first !== 0x0f ? 0 : second === 0x38 || second === 0x3a ? 2 : 1;
  return { extension: rex >> 4 === 4 ? rex & (R | X | B) : 0, at: opcode + escape, operand: 0 };
}
