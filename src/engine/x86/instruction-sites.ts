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
  /** Of its opcode's escape byte, 0F. */
  readonly opcode: number;
  readonly kind: InsnKind;
}

const decoder = new InstructionDecoder();

/** What is looked for. */
export interface SoughtKinds {
  /** XGETBV, and the instructions of the XSAVE family that programs can execute. */
  readonly xsave: boolean;
  readonly cpuid: boolean;
}

const ANY_KIND: SoughtKinds = { xsave: true, cpuid: true };

/** Whether an instruction is of one of these kinds. */
export function isSought(kind: InsnKind, { xsave, cpuid }: SoughtKinds): boolean {
  if (kind === Insn.cpuid) return cpuid;
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
    const isCpuid = bytes[at + 1] === CPUID;
    if (isCpuid ? !kinds.cpuid : !kinds.xsave || !isXsavePattern(bytes, at)) continue;
    const site = siteAt(bytes, at);
    if (site) sites.push(site);
  }
  return sites;
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

/** The longest row of prefixes that begins at a boundary makes the instruction. */
function siteAt(bytes: Uint8Array, opcode: number): Site | null {
  for (let prefixes = MAX_PREFIXES; prefixes >= 0; prefixes--) {
    const start = opcode - prefixes;
    if (start < 0) continue;
    const kind = decoder.decode(bytes, start);
    if (!isSought(kind, ANY_KIND)) continue;
    if (decoder.opcodeOffset === opcode && isBoundary(bytes, start)) return { start, opcode, kind };
  }
  return null;
}
