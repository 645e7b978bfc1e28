/**
 * Finds certain instructions in code of which only the bytes are known. The pattern may also occur
 * inside another instruction or in data. x86 decoding resynchronizes: from any start it reaches the
 * program's instruction boundaries after a few instructions. So decoding starts at every byte of
 * some distance before, and the majority decides.
 */
import { InstructionDecoder, Insn, isXsaveFamily, type Insn as InsnKind } from './decode.js';
import { instructionLength } from './instruction-length.js';

/** Bytes before the code that are decoded. Sequences of similar instructions can delay resynchronization. */
export const LEAD_BYTES = 256;
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
  readonly lzcnt?: boolean;
  readonly tzcnt?: boolean;
  /** RSQRT and RCP. */
  readonly approximations?: boolean;
}

const ANY_KIND: SoughtKinds = { xsave: true, cpuid: true, lzcnt: true, tzcnt: true, approximations: true };

/** How far behind `Site.opcode` the changed byte can be. */
export const MAX_CHANGED_DISTANCE = 3;
const [VEX3, VEX2] = [0xc4, 0xc5];
const [RSQRT, RCP] = [0x52, 0x53];

/** Whether an instruction is of a kind that the service completes, not the engine. */
export const isSilent = (kind: InsnKind): boolean => kind >= Insn.lzcnt && kind <= Insn.approximation;

/** Whether an instruction is of one of these kinds. */
export function isSought(kind: InsnKind, kinds: SoughtKinds): boolean {
  const { xsave, cpuid, lzcnt = false, tzcnt = false, approximations = false } = kinds;
  if (kind === Insn.cpuid) return cpuid;
  if (kind === Insn.lzcnt) return lzcnt;
  if (kind === Insn.tzcnt) return tzcnt;
  if (kind === Insn.approximation) return approximations;
  if (!xsave) return false;
  return kind === Insn.xgetbv || (isXsaveFamily(kind) && kind !== Insn.xsaves && kind !== Insn.xrstors);
}

/**
 * Instructions of these kinds whose opcode begins in [from, to).
 * @param bytes with LEAD_BYTES before `from` and an instruction's length after `to`, as far as available
 */
export function findSites(bytes: Uint8Array, from: number, to: number, kinds: SoughtKinds): Site[] {
  const sites: Site[] = [];
  for (let at = bytes.indexOf(0x0f, from); at >= 0 && at < to; at = bytes.indexOf(0x0f, at + 1)) {
    if (!isPattern(bytes, at, kinds)) continue;
    const site = siteAt(bytes, at, kinds);
    if (site) sites.push(site);
  }
  if (kinds.approximations) {
    for (const prefix of [VEX3, VEX2]) {
      for (let at = bytes.indexOf(prefix, from); at >= 0 && at < to; at = bytes.indexOf(prefix, at + 1)) {
        const opcode = bytes[at + (prefix === VEX3 ? 3 : 2)];
        if (opcode !== RSQRT && opcode !== RCP) continue;
        const site = siteAt(bytes, at, kinds);
        if (site) sites.push(site);
      }
    }
  }
  return sites;
}

/** Whether the bytes at 0F may be of these kinds. */
function isPattern(bytes: Uint8Array, at: number, kinds: SoughtKinds): boolean {
  const next = bytes[at + 1];
  if (next === CPUID) return kinds.cpuid;
  if (next === RSQRT || next === RCP) return kinds.approximations === true;
  if (next === 0xbc) return kinds.tzcnt === true;
  if (next === 0xbd) return kinds.lzcnt === true;
  return kinds.xsave && isXsavePattern(bytes, at);
}

/**
 * Whether a page may hold, or end, such an instruction, from its bytes alone: quick, and too often true. For
 * approximations.
 */
export function mayApproximate(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    if ((bytes[at] & 0xfe) !== RSQRT) continue;
    if (at - from < MAX_CHANGED_DISTANCE) return true;
    if (bytes[at - 1] === 0x0f || bytes[at - 2] === VEX2 || bytes[at - 3] === VEX3) return true;
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

/**
 * Whether a byte is part of an address that JMP or CALL [rip+disp32] reads: data amid code. The stubs of rr's patched system
 * calls end with such a jump, as other trampolines do; where ASLR put 0F into an address, the rest may read as an instruction.
 */
function isInPointer(bytes: Uint8Array, at: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let jump = bytes.indexOf(0xff); jump >= 0; jump = bytes.indexOf(0xff, jump + 1)) {
    const modrm = bytes[jump + 1];
    if ((modrm !== 0x25 && modrm !== 0x15) || jump + 6 > bytes.length) continue;
    const pointer = jump + 6 + view.getInt32(jump + 2, true);
    if (at >= pointer && at < pointer + 8) return true;
  }
  return false;
}

/** The longest row of prefixes that begins at a boundary makes the instruction. */
function siteAt(bytes: Uint8Array, opcode: number, kinds: SoughtKinds): Site | null {
  for (let prefixes = MAX_PREFIXES; prefixes >= 0; prefixes--) {
    const start = opcode - prefixes;
    if (start < 0) continue;
    const kind = decoder.decode(bytes, start);
    if (!isSought(kind, ANY_KIND)) continue;
    if (decoder.opcodeOffset !== opcode || !isBoundary(bytes, start)) continue;
    if (isInPointer(bytes, opcode)) return null;
    const distance = bytes[opcode] === VEX3 ? 3 : bytes[opcode] === VEX2 ? 2 : 1;
    return isSought(kind, kinds) ? { start, opcode, changed: opcode + distance, kind } : null;
  }
  return null;
}
