/**
 * Recognises, in 64-bit mode, the few instructions that the engine must handle: those that leak time,
 * randomness or extended state, those that stepping disturbs, and conditional branches, which are rr's clock.
 * Opcodes and prefix rules: Intel SDM vol. 2, chapter 2 and appendix A. Everything else is `Insn.other`, also
 * encodings that raise #UD. Nothing here allocates.
 */

import type { Gva } from '../base/address.js';
import { wordsToGva } from '../base/address.js';
import type { RegisterWords } from '../base/registers.js';
import { Reg } from '../base/registers.js';

/** Kinds that `InstructionDecoder.decode` returns. */
export const Insn = {
  other: 0,
  /** Jcc, JRCXZ, JECXZ, LOOP, LOOPE, LOOPNE: one tick each, taken or not. */
  conditionalBranch: 1,
  rdtsc: 2,
  rdtscp: 3,
  cpuid: 4,
  xgetbv: 5,
  syscall: 6,
  int3: 7,
  /** INT n; the number is in `immediate`. */
  intN: 8,
  /** INT1 (ICEBP), opcode F1. */
  int1: 9,
  tpause: 10,
  umwait: 11,
  rdrand: 12,
  rdseed: 13,
  rdpid: 14,
  pushf: 15,
  popf: 16,
  /** MOV SS: traps and breakpoints are delayed until after the following instruction. */
  movSs: 17,
  /** IRET, IRETD, IRETQ. */
  iret: 18,
  // What CR4.UMIP forbids; the last three with a register (`immediate`) or memory (`hasMemory`).
  sgdt: 19,
  sidt: 20,
  sldt: 21,
  str: 22,
  smsw: 23,
  rdpkru: 24,
  wrpkru: 25,
  // With a memory operand and REX.W in `wide`, from here on.
  xsave: 26,
  xsavec: 27,
  xsaveopt: 28,
  xsaves: 29,
  xrstor: 30,
  xrstors: 31,
  // Whose meaning or results differ between processors, without an exception: mm/hidden-code.ts.
  lzcnt: 32,
  tzcnt: 33,
  /** RSQRTPS, RSQRTSS, RCPPS, RCPSS, also of VEX, whose opcode is where C4 or C5 is. */
  approximation: 34,
} as const;
export type Insn = (typeof Insn)[keyof typeof Insn];

/** XSAVE, XSAVEC, XSAVEOPT, XSAVES, XRSTOR or XRSTORS. */
export const isXsaveFamily = (kind: Insn): boolean => kind >= Insn.xsave && kind <= Insn.xrstors;

/** SGDT, SIDT, SLDT, STR or SMSW. */
export const isUmipProtected = (kind: Insn): boolean => kind >= Insn.sgdt && kind <= Insn.smsw;

export const MAX_INSTRUCTION_LENGTH = 15;

const Prefix = { none: 0, legacy: 1, lock: 2, rex: 3 } as const;

/** Classes of first bytes; a table, because it is used for every stepped instruction. */
const prefixOf = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3])
  prefixOf[byte] = Prefix.legacy;
prefixOf[0xf0] = Prefix.lock;
prefixOf.fill(Prefix.rex, 0x40, 0x50);

/** 1: a conditional branch of one opcode byte; 2: the escape 0F; 3: a prefix; 0: anything else. */
const branchClass = new Uint8Array(256);
branchClass.fill(1, 0x70, 0x80);
branchClass.fill(1, 0xe0, 0xe4);
branchClass[0x0f] = 2;
for (let byte = 0; byte < 256; byte++) if (prefixOf[byte] !== Prefix.none) branchClass[byte] = 3;

/**
 * Whether the instruction at `offset` counts one tick when it retires. Bytes from `end` on are not
 * read; an instruction whose opcode is there is not a branch.
 */
export function isConditionalBranch(bytes: Uint8Array, offset: number, end = bytes.length): boolean {
  if (offset >= end) return false;
  const class_ = branchClass[bytes[offset]];
  if (class_ === 0) return false;
  if (class_ === 1) return true;
  if (class_ === 2) return offset + 1 < end && bytes[offset + 1] >>> 4 === 8;
  return isPrefixedBranch(bytes, offset, end);
}

/** LOCK raises #UD on a branch. The length limit counts the displacement too. */
function isPrefixedBranch(bytes: Uint8Array, offset: number, end: number): boolean {
  const limit = Math.min(end, offset + MAX_INSTRUCTION_LENGTH);
  let at = offset;
  while (at < limit && prefixOf[bytes[at]] !== Prefix.none) {
    if (bytes[at] === 0xf0) return false;
    at++;
  }
  if (at >= limit) return false;
  const class_ = branchClass[bytes[at]];
  if (class_ === 1) return at + 2 <= offset + MAX_INSTRUCTION_LENGTH;
  if (class_ !== 2 || at + 1 >= limit || bytes[at + 1] >>> 4 !== 8) return false;
  return at + 6 <= offset + MAX_INSTRUCTION_LENGTH;
}

/** Whether `bytes` starts with a string instruction under REP or REPNE: INS, OUTS, MOVS, CMPS, STOS, LODS, SCAS. */
export function isRepeatedString(bytes: Uint8Array): boolean {
  let at = 0;
  let repeated = false;
  while (at < bytes.length && prefixOf[bytes[at]] !== Prefix.none) {
    if (bytes[at] === 0xf2 || bytes[at] === 0xf3) repeated = true;
    at++;
  }
  const opcode = bytes[at] ?? 0;
  return (
    repeated &&
    ((opcode >= 0x6c && opcode <= 0x6f) ||
      (opcode >= 0xa4 && opcode <= 0xa7) ||
      (opcode >= 0xaa && opcode <= 0xaf))
  );
}

/** Slot of `Reg` for each register number of ModRM, SIB and REX. */
// prettier-ignore
export const slotOf = new Uint8Array([
  Reg.rax, Reg.rcx, Reg.rdx, Reg.rbx, Reg.rsp, Reg.rbp, Reg.rsi, Reg.rdi,
  Reg.r8, Reg.r9, Reg.r10, Reg.r11, Reg.r12, Reg.r13, Reg.r14, Reg.r15,
]);

const TWO_32 = 0x1_0000_0000;

/**
 * Decodes one instruction at a time into its own fields, which hold until the next `decode`. `length`, `immediate`,
 * `wide` and the memory operand are valid for kinds other than `Insn.other`.
 */
export class InstructionDecoder {
  kind: Insn = Insn.other;
  length = 0;
  /** Offset of the opcode, after the prefixes. */
  opcodeOffset = 0;
  /** REX.W: the 64-bit format of XSAVE and XRSTOR. */
  wide = false;
  /** INT n: n. RDRAND, RDSEED, RDPID, SLDT, STR, SMSW: the destination's number (0 = rax .. 15 = r15). Otherwise 0. */
  immediate = 0;
  /** Operand size 16 (66 without REX.W): PUSHF, POPF, RDRAND, RDSEED, SLDT, STR, SMSW. */
  operand16 = false;
  /** Whether a memory operand was decoded. */
  hasMemory = false;
  /** Words of the effective address, after `effectiveAddress`. */
  addressLow = 0;
  addressHigh = 0;

  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private end = 0;

  private rex = 0;
  private operandSize = false;
  private addressSize32 = false;
  /** The last of F2 and F3, or 0. */
  private repeat = 0;
  /** Slot of fs_base or gs_base, or -1. */
  private segment = -1;
  private lock = false;

  /** Slots of `Reg`, or -1. */
  private base = -1;
  private index = -1;
  private scale = 1;
  private displacement = 0;
  private ripRelative = false;

  /**
   * Decodes the instruction at `offset`. An instruction that runs past `end` or past 15 bytes is `Insn.other`.
   * @returns the kind.
   */
  decode(bytes: Uint8Array, offset = 0, end = bytes.length): Insn {
    this.bytes = bytes;
    this.at = offset;
    this.end = Math.min(end, offset + MAX_INSTRUCTION_LENGTH);
    this.immediate = 0;
    this.hasMemory = false;
    this.readPrefixes();
    this.opcodeOffset = this.at;
    let kind: Insn = this.at < this.end ? this.decodeOpcode(bytes[this.at++]) : Insn.other;
    if (this.lock || this.at > this.end) kind = Insn.other;
    this.length = this.at - offset;
    this.wide = (this.rex & 8) !== 0;
    this.operand16 = this.operandSize && !this.wide;
    return (this.kind = kind);
  }

  /**
   * Computes the memory operand's linear address from the registers at this instruction into `addressLow` and
   * `addressHigh`.
   * @returns it as a user-space address, or -1 if it is not one.
   */
  effectiveAddress(registers: RegisterWords): Gva {
    this.addressLow = this.displacement >>> 0;
    this.addressHigh = this.displacement < 0 ? 0xffff_ffff : 0;
    if (this.ripRelative) {
      this.add(this.length, 0);
      this.addRegister(registers, Reg.rip);
    }
    if (this.base >= 0) this.addRegister(registers, this.base);
    if (this.index >= 0) this.addScaled(registers[2 * this.index], registers[2 * this.index + 1]);
    if (this.addressSize32) this.addressHigh = 0;
    if (this.segment >= 0) this.addRegister(registers, this.segment);
    return wordsToGva(this.addressLow, this.addressHigh);
  }

  private add(low: number, high: number): void {
    const sum = this.addressLow + low;
    this.addressLow = sum >>> 0;
    this.addressHigh = (this.addressHigh + high + (sum >= TWO_32 ? 1 : 0)) >>> 0;
  }

  private addRegister(registers: RegisterWords, slot: number): void {
    this.add(registers[2 * slot], registers[2 * slot + 1]);
  }

  private addScaled(low: number, high: number): void {
    const scaled = low * this.scale;
    this.add(scaled >>> 0, (high * this.scale + Math.floor(scaled / TWO_32)) >>> 0);
  }

  /** A REX prefix counts only directly before the opcode. */
  private readPrefixes(): void {
    this.rex = this.repeat = 0;
    this.operandSize = this.addressSize32 = this.lock = false;
    this.segment = -1;
    for (; this.at < this.end; this.at++) {
      const byte = this.bytes[this.at];
      const class_ = prefixOf[byte];
      if (class_ === Prefix.none) return;
      this.rex = class_ === Prefix.rex ? byte : 0;
      if (byte === 0x66) this.operandSize = true;
      else if (byte === 0x67) this.addressSize32 = true;
      else if (byte === 0xf0) this.lock = true;
      else if (byte === 0xf2 || byte === 0xf3) this.repeat = byte;
      else if (byte === 0x64) this.segment = Reg.fs_base;
      else if (byte === 0x65) this.segment = Reg.gs_base;
    }
  }

  private decodeOpcode(opcode: number): Insn {
    if (branchClass[opcode] === 1) {
      this.at++;
      return Insn.conditionalBranch;
    }
    switch (opcode) {
      case 0x0f:
        return this.at < this.end ? this.decodeEscape(this.bytes[this.at++]) : Insn.other;
      case 0x8e:
        return this.decodeMovSegment();
      case 0x9c:
        return Insn.pushf;
      case 0x9d:
        return Insn.popf;
      case 0xcc:
        return Insn.int3;
      case 0xcd:
        this.immediate = this.at < this.end ? this.bytes[this.at] : 0;
        this.at++;
        return Insn.intN;
      case 0xc4:
      case 0xc5:
        return this.decodeVex(opcode);
      case 0xcf:
        return Insn.iret;
      case 0xf1:
        return Insn.int1;
      default:
        return Insn.other;
    }
  }

  /** Opcodes 0F xx. */
  private decodeEscape(opcode: number): Insn {
    if (opcode >>> 4 === 8) {
      this.at += 4;
      return Insn.conditionalBranch;
    }
    switch (opcode) {
      case 0x00:
        return this.decodeGroup6();
      case 0x05:
        return Insn.syscall;
      case 0x31:
        return Insn.rdtsc;
      case 0xa2:
        return Insn.cpuid;
      case 0x52:
      case 0x53:
        // F3 counts before 66.
        if (this.repeat === 0xf2 || (this.operandSize && this.repeat === 0)) return Insn.other;
        return this.decodeOperand(Insn.approximation);
      case 0xbc:
      case 0xbd:
        if (this.repeat !== 0xf3) return Insn.other;
        return this.decodeOperand(opcode === 0xbc ? Insn.tzcnt : Insn.lzcnt);
      case 0x01:
        return this.decodeGroup7();
      case 0xae:
        return this.decodeGroup15();
      case 0xc7:
        return this.decodeGroup9();
      default:
        return Insn.other;
    }
  }

  private get prefixed(): boolean {
    return this.operandSize || this.repeat !== 0;
  }

  private nextByte(): number {
    return this.at < this.end ? this.bytes[this.at++] : (this.at++, 0);
  }

  private decodeGroup6(): Insn {
    const modrm = this.nextByte();
    const extension = (modrm >>> 3) & 7;
    if (extension > 1) return Insn.other;
    return this.decodeDestination(modrm, extension === 0 ? Insn.sldt : Insn.str);
  }

  private decodeGroup7(): Insn {
    const modrm = this.nextByte();
    const extension = (modrm >>> 3) & 7;
    if (extension === 4) return this.decodeDestination(modrm, Insn.smsw);
    if (modrm < 0xc0 && extension <= 1)
      return this.decodeMemory(modrm, extension === 0 ? Insn.sgdt : Insn.sidt);
    if (modrm === 0xd0) return this.prefixed ? Insn.other : Insn.xgetbv;
    if (modrm === 0xee) return this.prefixed ? Insn.other : Insn.rdpkru;
    if (modrm === 0xef) return this.prefixed ? Insn.other : Insn.wrpkru;
    return modrm === 0xf9 ? Insn.rdtscp : Insn.other;
  }

  /** ModRM, and memory if it names some. */
  private decodeOperand(kind: Insn): Insn {
    const modrm = this.nextByte();
    return modrm < 0xc0 ? this.decodeMemory(modrm, kind) : kind;
  }

  /** VRSQRTPS and kin: map 0F without a prefix, or with F3. */
  private decodeVex(prefix: number): Insn {
    if (this.rex !== 0 || this.prefixed) return Insn.other;
    let extensions = this.nextByte();
    if (prefix === 0xc4) {
      if ((extensions & 0x1f) !== 1) return Insn.other;
      this.rex = (~extensions >>> 5) & 7;
      extensions = this.nextByte();
    }
    const opcode = this.nextByte();
    if ((opcode !== 0x52 && opcode !== 0x53) || (extensions & 1) !== 0) return Insn.other;
    // Packed ones have one source.
    if ((extensions & 2) === 0 && (extensions & 0x78) !== 0x78) return Insn.other;
    return this.decodeOperand(Insn.approximation);
  }

  /** A register or a word in memory. */
  private decodeDestination(modrm: number, kind: Insn): Insn {
    if (modrm < 0xc0) return this.decodeMemory(modrm, kind);
    this.immediate = (modrm & 7) | ((this.rex & 1) << 3);
    return kind;
  }

  private decodeGroup15(): Insn {
    const modrm = this.nextByte();
    const extension = (modrm >>> 3) & 7;
    if (modrm >= 0xc0) {
      if (extension !== 6) return Insn.other;
      if (this.repeat === 0xf2) return Insn.umwait;
      return this.repeat === 0 && this.operandSize ? Insn.tpause : Insn.other;
    }
    if (this.prefixed) return Insn.other;
    if (extension === 4) return this.decodeMemory(modrm, Insn.xsave);
    if (extension === 5) return this.decodeMemory(modrm, Insn.xrstor);
    return extension === 6 ? this.decodeMemory(modrm, Insn.xsaveopt) : Insn.other;
  }

  private decodeGroup9(): Insn {
    const modrm = this.nextByte();
    const extension = (modrm >>> 3) & 7;
    if (modrm >= 0xc0) {
      if (extension < 6) return Insn.other;
      this.immediate = (modrm & 7) | ((this.rex & 1) << 3);
      if (this.repeat === 0xf3) return extension === 7 ? Insn.rdpid : Insn.other;
      if (this.repeat !== 0) return Insn.other;
      return extension === 6 ? Insn.rdrand : Insn.rdseed;
    }
    if (this.prefixed) return Insn.other;
    if (extension === 3) return this.decodeMemory(modrm, Insn.xrstors);
    if (extension === 4) return this.decodeMemory(modrm, Insn.xsavec);
    return extension === 5 ? this.decodeMemory(modrm, Insn.xsaves) : Insn.other;
  }

  /** MOV Sreg, r/m: REX.R does not extend the segment register. */
  private decodeMovSegment(): Insn {
    const modrm = this.nextByte();
    if (((modrm >>> 3) & 7) !== 2) return Insn.other;
    return modrm >= 0xc0 ? Insn.movSs : this.decodeMemory(modrm, Insn.movSs);
  }

  private decodeMemory(modrm: number, kind: Insn): Insn {
    const mode = modrm >>> 6;
    let base = modrm & 7;
    this.base = this.index = -1;
    this.scale = 1;
    this.ripRelative = false;
    let wideDisplacement = mode === 2;
    if (base === 4) {
      const sib = this.nextByte();
      const index = ((sib >>> 3) & 7) | ((this.rex & 2) << 2);
      if (index !== 4) this.index = slotOf[index];
      this.scale = 1 << (sib >>> 6);
      base = sib & 7;
      if (base === 5 && mode === 0) wideDisplacement = true;
      else this.base = slotOf[base | ((this.rex & 1) << 3)];
    } else if (base === 5 && mode === 0) {
      this.ripRelative = wideDisplacement = true;
    } else {
      this.base = slotOf[base | ((this.rex & 1) << 3)];
    }
    this.displacement = 0;
    if (mode === 1) this.displacement = (this.nextByte() << 24) >> 24;
    else if (wideDisplacement) this.displacement = this.readInt32();
    this.hasMemory = true;
    return kind;
  }

  private readInt32(): number {
    const [a, b, c, d] = [this.nextByte(), this.nextByte(), this.nextByte(), this.nextByte()];
    return a | (b << 8) | (c << 16) | (d << 24);
  }
}
