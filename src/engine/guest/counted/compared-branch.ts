import { PAGE_SIZE } from '../../base/address.js';
import { OPERAND_SIZE } from './opcodes.js';

/** A comparison (or another instruction that sets the flags) and the conditional branch right behind it. */
export interface ComparedBranch {
  /** Offsets in the page: of the branch, and of its end. */
  readonly branch: number;
  readonly end: number;
  /** The low four bits of the branch's opcode. */
  readonly condition: number;
  /** Where it goes, as an offset from the page's start. */
  readonly target: number;
  /**
   * The comparison changes nothing but flags, and may raise an exception: before which nothing must be changed. If it was
   * executed without one, it can be again.
   */
  readonly twice: boolean;
}

const [LOCK, REPNE, REP, ADDRESS_SIZE] = [0xf0, 0xf2, 0xf3, 0x67];
const OTHER_PREFIXES: ReadonlySet<number> = new Set([LOCK, REPNE, REP, ADDRESS_SIZE]);
const SEGMENTS: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);
/** Of the opcodes' first row and of 0x80 to 0x83, as (opcode >> 3) & 7 and as the ModRM byte has them. */
const [ADC, SBB, CMP] = [2, 3, 7];

/** What an instruction does that overwrites OF, SF, ZF, AF and PF, or null: it is none that is known to. */
export function flagsEffect(
  code: Uint8Array,
  length: number,
): { isPure: boolean; usesMemory: boolean } | null {
  let at = 0;
  while (SEGMENTS.has(code[at]) || code[at] === OPERAND_SIZE) at++;
  if (OTHER_PREFIXES.has(code[at])) return null;
  if (code[at] >> 4 === 4) at++;
  const opcode = code[at];
  const isEscape = opcode === 0x0f;
  const second = code[at + 1];
  const modrm = isEscape ? code[at + 2] : second;
  if (at >= length) return null;
  const usesMemory = modrm >> 6 !== 3;
  const operation = (modrm >> 3) & 7;
  // UCOMISS, COMISS and the same for doubles; an exception of theirs may be unmasked.
  if (isEscape) return second === 0x2e || second === 0x2f ? { isPure: true, usesMemory: true } : null;
  if (opcode < 0x40) {
    const row = opcode >> 3;
    const form = opcode & 7;
    if (form > 5 || row === ADC || row === SBB) return null;
    return { isPure: row === CMP, usesMemory: form < 4 && usesMemory };
  }
  switch (opcode) {
    case 0x80:
    case 0x81:
    case 0x83:
      return operation === ADC || operation === SBB ? null : { isPure: operation === CMP, usesMemory };
    case 0x84:
    case 0x85: // TEST
      return { isPure: true, usesMemory };
    case 0xa8:
    case 0xa9:
      return { isPure: true, usesMemory: false };
    case 0xf6:
    case 0xf7: // TEST, NEG
      if (operation > 1 && operation !== 3) return null;
      return { isPure: operation < 2, usesMemory };
    case 0xfe:
    case 0xff: // INC, DEC: they leave CF, as what counts does
      return operation < 2 ? { isPure: false, usesMemory } : null;
    default:
      return null;
  }
}

/**
 * Finds the pair that begins at an offset of a page's bytes, if its branch can be counted between the instructions, or
 * before them: by an instruction that changes all flags but CF. Pure.
 * @param behind the end of the first instruction
 */
export function comparedBranch(bytes: Uint8Array, offset: number, behind: number): ComparedBranch | null {
  const isLong = bytes[behind] === 0x0f && bytes[behind + 1] >> 4 === 8;
  const end = behind + (isLong ? 6 : 2);
  if ((!isLong && bytes[behind] >> 4 !== 7) || end > Math.min(PAGE_SIZE, bytes.length)) return null;
  const effect = flagsEffect(bytes.subarray(offset, behind), behind - offset);
  if (!effect || (effect.usesMemory && !effect.isPure)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    branch: behind,
    end,
    condition: bytes[isLong ? behind + 1 : behind] & 0xf,
    target: end + (isLong ? view.getInt32(behind + 2, true) : view.getInt8(behind + 1)),
    twice: effect.usesMemory,
  };
}
