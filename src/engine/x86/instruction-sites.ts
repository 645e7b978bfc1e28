/**
 * Finds certain instructions in code of which only the bytes are known. The pattern may also occur
 * inside another instruction or in data. x86 decoding resynchronizes: from any start it reaches the
 * program's instruction boundaries after a few instructions. So decoding starts at every byte of
 * some distance before, and the majority decides. Data is known by what accesses it, and by what follows it.
 */
import {
  InstructionDecoder,
  Insn,
  isXsaveFamily,
  MAX_INSTRUCTION_LENGTH,
  type Insn as InsnKind,
} from './decode.js';
import { instructionLength, prefixCount } from './instruction-length.js';

/** Bytes before the code that are decoded. Sequences of similar instructions can delay resynchronization. */
export const LEAD_BYTES = 256;
/** Bytes after the code that are: see continuesAsData. */
export const TAIL_BYTES = 64;
/** The start offsets that count: those with the longest distance for resynchronization. */
const VOTERS = 96;
const MAX_PREFIXES = 4;
/** The second byte of CPUID, 0F A2. */
const CPUID = 0xa2;

/** Lengths of the instructions that begin at each offset of [from, to); 0 where nothing decodes. */
function lengthsOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const lengths = new Uint8Array(to - from);
  for (let at = from; at < to; at++) lengths[at - from] = instructionLength(bytes, at);
  return lengths;
}

const Meets = { nothing: 0, passes: 1, boundary: 2 } as const;

/** Whether there is an instruction boundary at `offset`, by a majority of the starts before it. */
export function isBoundary(bytes: Uint8Array, offset: number): boolean {
  const from = Math.max(0, offset - LEAD_BYTES);
  const lengths = lengthsOf(bytes, from, offset);
  const count = lengths.length;
  const meets = new Uint8Array(count + 1);
  meets[count] = Meets.boundary;
  for (let at = count - 1; at >= 0; at--) {
    const next = at + lengths[at];
    if (lengths[at] !== 0) meets[at] = next > count ? Meets.passes : meets[next];
  }
  let votes = 0;
  for (let at = 0; at < Math.min(VOTERS, count); at++) {
    if (meets[at] !== Meets.nothing) votes += meets[at] === Meets.boundary ? 1 : -1;
  }
  return votes >= 0;
}

/** An instruction that was found. */
export interface Site {
  /** Of its first byte, prefixes included. */
  readonly start: number;
  /** Of its opcode's escape byte, 0F, or of VEX. */
  readonly opcode: number;
  /** Of the byte that, made 0B, makes the instruction one that raises #UD: UD2, or an opcode that VEX does not have. */
  readonly changed: number;
  readonly kind: InsnKind;
}

const decoder = new InstructionDecoder();

/** What is looked for. */
export interface SoughtKinds {
  /** XGETBV, and the instructions of the XSAVE family that programs can execute. */
  readonly xsave: boolean;
  readonly cpuid: boolean;
  /** RDPKRU and WRPKRU. */
  readonly keys?: boolean;
  readonly lzcnt?: boolean;
  readonly tzcnt?: boolean;
  /** RSQRT and RCP. */
  readonly approximations?: boolean;
  readonly rdpid?: boolean;
}

const ANY_KIND: SoughtKinds = {
  xsave: true,
  cpuid: true,
  keys: true,
  lzcnt: true,
  tzcnt: true,
  approximations: true,
  rdpid: true,
};

/** How far behind `Site.opcode` the changed byte can be. */
export const MAX_CHANGED_DISTANCE = 3;
const [EVEX, VEX3, VEX2] = [0x62, 0xc4, 0xc5];
const [RSQRT, RCP] = [0x52, 0x53];
/** From VEX's first byte to the opcode. */
const VEX_DISTANCES = [
  [VEX3, 3],
  [VEX2, 2],
] as const;
/** The second byte of XSAVEC and, with ModRM of /7 and a register, of RDPID. */
const GROUP_9 = 0xc7;
const RDPID_MODRM = 0xf8;
/** The third byte, behind 0F 01. */
const [RDPKRU, WRPKRU] = [0xee, 0xef];

/** Whether an instruction is of a kind that the service completes, not the engine. */
export const isSilent = (kind: InsnKind): boolean => kind >= Insn.lzcnt && kind <= Insn.approximation;

/** Whether an instruction is of one of these kinds. */
export function isSought(kind: InsnKind, kinds: SoughtKinds): boolean {
  const { xsave, cpuid, keys = false, lzcnt = false, tzcnt = false } = kinds;
  const { approximations = false, rdpid = false } = kinds;
  if (kind === Insn.cpuid) return cpuid;
  if (kind === Insn.rdpkru || kind === Insn.wrpkru) return keys;
  if (kind === Insn.lzcnt) return lzcnt;
  if (kind === Insn.tzcnt) return tzcnt;
  if (kind === Insn.approximation) return approximations;
  if (kind === Insn.rdpid) return rdpid;
  if (!xsave) return false;
  return kind === Insn.xgetbv || (isXsaveFamily(kind) && kind !== Insn.xsaves && kind !== Insn.xrstors);
}

/** 0F and each byte. */
const PAIRS: readonly Buffer[] = Array.from({ length: 256 }, (_, next) => Buffer.of(0x0f, next));

/** The bytes that follow 0F in instructions of these kinds. */
function secondBytes(kinds: SoughtKinds): number[] {
  const { xsave, cpuid, lzcnt, tzcnt, approximations, keys, rdpid } = kinds;
  return [
    ...(cpuid ? [CPUID] : []),
    ...(approximations ? [RSQRT, RCP] : []),
    ...(tzcnt ? [0xbc] : []),
    ...(lzcnt ? [0xbd] : []),
    ...(xsave || keys ? [0x01] : []),
    ...(xsave ? [0xae] : []),
    ...(xsave || rdpid ? [GROUP_9] : []),
  ];
}

/**
 * Instructions of these kinds whose opcode begins in [from, to), by address. What every page of code is searched for is
 * rare: it is left to the search for two bytes, and for one, that Node has compiled.
 * @param bytes with LEAD_BYTES before `from` and TAIL_BYTES after `to`, as far as available
 */
export function findSites(bytes: Uint8Array, from: number, to: number, kinds: SoughtKinds): Site[] {
  const sites: Site[] = [];
  const add = (at: number): void => {
    const site = siteAt(bytes, at, kinds);
    if (site) sites.push(site);
  };
  const code = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const next of secondBytes(kinds)) {
    const pair = PAIRS[next];
    for (let at = code.indexOf(pair, from); at >= 0 && at < to; at = code.indexOf(pair, at + 1))
      if (isPattern(bytes, at, kinds)) add(at);
  }
  for (const opcode of kinds.approximations ? [RSQRT, RCP] : []) {
    for (let at = code.indexOf(opcode, from); at >= 0; at = code.indexOf(opcode, at + 1)) {
      if (at >= to + MAX_CHANGED_DISTANCE) break;
      for (const [prefix, distance] of VEX_DISTANCES) {
        const start = at - distance;
        if (bytes[start] === prefix && start >= from && start < to) add(start);
      }
    }
  }
  return sites.sort((a, b) => a.opcode - b.opcode);
}

/** Whether the bytes at 0F may be of these kinds. */
function isPattern(bytes: Uint8Array, at: number, kinds: SoughtKinds): boolean {
  const next = bytes[at + 1];
  if (next === CPUID) return kinds.cpuid;
  if (next === RSQRT || next === RCP) return kinds.approximations === true;
  if (next === 0xbc) return kinds.tzcnt === true;
  if (next === 0xbd) return kinds.lzcnt === true;
  if (kinds.keys && next === 0x01 && (bytes[at + 2] === RDPKRU || bytes[at + 2] === WRPKRU)) return true;
  if (kinds.rdpid && next === GROUP_9 && bytes[at + 2] >= RDPID_MODRM) return true;
  return kinds.xsave && isXsavePattern(bytes, at);
}

const escapeOf = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;
const classOf = (bytes: readonly number[]): string => `[${bytes.map(escapeOf).join('')}]`;

/** What mayHaveSites looks for in the bytes as text: one pass of compiled code, whatever the kinds. */
function patternOf(kinds: SoughtKinds): RegExp {
  const pair = `\\x0f${classOf(secondBytes(kinds))}`;
  const vex = VEX_DISTANCES.map(
    ([prefix, distance]) => `${escapeOf(prefix)}[^]{${distance - 1}}${classOf([RSQRT, RCP])}`,
  );
  return new RegExp([pair, ...(kinds.approximations ? vex : [])].join('|'), 'g');
}

const patterns = new WeakMap<SoughtKinds, RegExp>();

/**
 * Whether findSites may find a byte to be changed in [from, to), from these bytes alone and whatever is around them:
 * quick, and too often true.
 */
export function mayHaveSites(bytes: Uint8Array, from: number, to: number, kinds: SoughtKinds): boolean {
  let pattern = patterns.get(kinds);
  if (!pattern) patterns.set(kinds, (pattern = patternOf(kinds)));
  // Before it may be 0F or VEX, and behind it the rest.
  if (isPattern(bytes, from - 1, kinds)) return true;
  for (let at = from; kinds.approximations && at < from + MAX_CHANGED_DISTANCE; at++)
    if ((bytes[at] | 1) === RCP) return true;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1');
  pattern.lastIndex = 0;
  while (pattern.test(text)) {
    const at = from + pattern.lastIndex - 2;
    if (bytes[at] !== 0x0f || at + 2 >= to || isPattern(bytes, at, kinds)) return true;
  }
  return false;
}

/** 0F AE /4, /5, /6 and 0F C7 /4, with an operand in memory: XSAVE, XRSTOR, XSAVEOPT, XSAVEC; 0F 01 D0: XGETBV. */
function isXsavePattern(bytes: Uint8Array, at: number): boolean {
  const modrm = bytes[at + 2] ?? 0xff;
  if (bytes[at + 1] === 0x01) return modrm === 0xd0;
  const extension = (modrm >>> 3) & 7;
  if (modrm >= 0xc0) return false;
  return bytes[at + 1] === 0xae
    ? extension >= 4 && extension <= 6
    : bytes[at + 1] === 0xc7 && extension === 4;
}

/** What code can end with, or leave with: RET, INT3, JMP, HLT. */
const LEAVING = new Uint8Array([0xc3, 0xc2, 0xcc, 0xe9, 0xeb, 0xf4]);
/** First bytes of instructions that raise #GP at CPL 3: INS, OUTS, IN, OUT, IRET, CLI, STI. */
const PRIVILEGED = new Uint8Array([
  0x6c, 0x6d, 0x6e, 0x6f, 0xcf, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xfa, 0xfb,
]);
const FOLLOWERS = 12;

/**
 * Whether what follows an instruction cannot be its continuation, so that it is data: bytes that are no instruction, one
 * that programs may not execute, or ADD [RAX], AL, which no compiler emits and zeros are. Code that is left before that, or ends
 * with the bytes, may be code.
 */
function continuesAsData(bytes: Uint8Array, start: number): boolean {
  let at = start + instructionLength(bytes, start);
  for (let left = FOLLOWERS; left > 0 && at + MAX_INSTRUCTION_LENGTH <= bytes.length; left--) {
    const [first, second] = [bytes[at], bytes[at + 1]];
    if (LEAVING.includes(first) || (first === 0x0f && second === 0x0b)) return false;
    if (first === 0xff && (second & 0x30) === 0x20) return false; // JMP by register or memory
    if (PRIVILEGED.includes(first) || (first === 0 && second === 0)) return true;
    const length = instructionLength(bytes, at);
    if (length === 0) return true;
    at += length;
  }
  return false;
}

/** Sizes of what can follow disp32: immediate operands. */
const IMMEDIATES = [0, 1, 2, 4];
const LEA = 0x8d;

/**
 * Whether a byte lies in what an instruction nearby accesses by [rip+disp32]: a constant amid code. Compilers of Lisp and
 * other generators of code place them before or after a function; the stubs of rr's patched system calls end with a JMP
 * by one, as other trampolines do. Where such a constant has 0F in it, the rest may read as an instruction. LEA does not
 * count: functions have addresses, too.
 */
function isInConstant(bytes: Uint8Array, at: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let modrm = 1; modrm + 5 <= bytes.length; modrm++) {
    if ((bytes[modrm] & 0xc7) !== 0x05) continue;
    const distance = at - (modrm + 5 + view.getInt32(modrm + 1, true));
    if (distance < 0 || bytes[modrm - 1] === LEA) continue;
    const operand = operandBytes(bytes, modrm);
    for (const immediate of IMMEDIATES) {
      if (distance < immediate || distance - immediate >= operand) continue;
      if (isModrmOfLength(bytes, modrm, 5 + immediate)) return true;
    }
  }
  return false;
}

const scratch = new Uint8Array(MAX_INSTRUCTION_LENGTH);

/** Whether a byte that may be ModRM of [rip+disp32] is, of an instruction that has `length` bytes from it on. */
function isModrmOfLength(bytes: Uint8Array, modrm: number, length: number): boolean {
  for (let before = 1; before <= MAX_INSTRUCTION_LENGTH - length && before <= modrm; before++) {
    const start = modrm - before;
    if (instructionLength(bytes, start) !== before + length || prefixCount(bytes, start) >= before) continue;
    // A register in its place takes the displacement's four bytes away, if it is ModRM.
    scratch.set(bytes.subarray(start, start + before + length));
    scratch[before] |= 0xc0;
    if (instructionLength(scratch, 0) === before + length - 4 && isBoundary(bytes, start)) return true;
  }
  return false;
}

/** How much is accessed at most where the ModRM byte at an offset says [rip+disp32]. */
function operandBytes(bytes: Uint8Array, modrm: number): number {
  if (bytes[modrm - 5] === EVEX) return 64;
  if (bytes[modrm - 4] === VEX3 || bytes[modrm - 3] === VEX2) return 32;
  return bytes[modrm - 2] === 0x0f ? 16 : 8;
}

/** The longest row of prefixes that begins at a boundary makes the instruction. */
function siteAt(bytes: Uint8Array, opcode: number, kinds: SoughtKinds): Site | null {
  for (let prefixes = MAX_PREFIXES; prefixes >= 0; prefixes--) {
    const start = opcode - prefixes;
    if (start < 0) continue;
    const kind = decoder.decode(bytes, start);
    if (!isSought(kind, ANY_KIND)) continue;
    if (decoder.opcodeOffset !== opcode || !isBoundary(bytes, start)) continue;
    if (continuesAsData(bytes, start) || isInConstant(bytes, opcode)) return null;
    const distance = bytes[opcode] === VEX3 ? 3 : bytes[opcode] === VEX2 ? 2 : 1;
    return isSought(kind, kinds) ? { start, opcode, changed: opcode + distance, kind } : null;
  }
  return null;
}
