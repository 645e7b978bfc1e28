/** Lengths of instructions in 64-bit mode (SDM vol. 2, appendix A; AMD APM vol. 3, appendix A for XOP and SSE4A). */
import { MAX_INSTRUCTION_LENGTH } from './decode.js';

/** What follows an opcode. */
const Follows = {
  nothing: 0,
  modrm: 1,
  byte: 2,
  word: 4,
  /** 16 bits with 66, else 32. */
  operand: 8,
  dword: 16,
  /** 16 bits with 66, 64 with REX.W, else 32. */
  whole: 32,
  /** An address: 32 bits with 67, else 64. */
  address: 64,
  /** No instruction. */
  invalid: 128,
} as const;

const { modrm: M, byte: B, word: W, operand: O, dword: D, whole: V, address: A, invalid: X } = Follows;
const [ESCAPE, EVEX, VEX3, VEX2, XOP_OR_POP] = [0x0f, 0x62, 0xc4, 0xc5, 0x8f];
const [OPERAND_SIZE, ADDRESS_SIZE, REPNE, REX_W] = [0x66, 0x67, 0xf2, 0x48];

type Row = readonly [from: number, to: number, follows: number];

function table(usual: number, rows: readonly Row[]): Uint8Array {
  const made = new Uint8Array(256).fill(usual);
  for (const [from, to, follows] of rows) made.fill(follows, from, to + 1);
  return made;
}

const arithmetic: readonly Row[] = [0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38].flatMap(
  (first): Row[] => [
    [first, first + 3, M],
    [first + 4, first + 4, B],
    [first + 5, first + 5, O],
    [first + 6, first + 7, X],
  ],
);

// prettier-ignore
const oneByte = table(0, [
  ...arithmetic,
  [0x60, 0x61, X], [0x63, 0x63, M], [0x68, 0x68, O], [0x69, 0x69, M | O], [0x6a, 0x6a, B], [0x6b, 0x6b, M | B],
  [0x70, 0x7f, B], [0x80, 0x80, M | B], [0x81, 0x81, M | O], [0x82, 0x82, X], [0x83, 0x83, M | B], [0x84, 0x8f, M],
  [0x9a, 0x9a, X], [0xa0, 0xa3, A], [0xa8, 0xa8, B], [0xa9, 0xa9, O],
  [0xb0, 0xb7, B], [0xb8, 0xbf, V], [0xc0, 0xc1, M | B], [0xc2, 0xc2, W], [0xc6, 0xc6, M | B], [0xc7, 0xc7, M | O],
  [0xc8, 0xc8, W | B], [0xca, 0xca, W], [0xcd, 0xcd, B], [0xce, 0xce, X], [0xd0, 0xd3, M], [0xd4, 0xd6, X],
  [0xd8, 0xdf, M], [0xe0, 0xe7, B], [0xe8, 0xe9, D], [0xea, 0xea, X], [0xeb, 0xeb, B], [0xf6, 0xf7, M], [0xfe, 0xff, M],
]);

/** Opcodes 0F xx, and map 1 of VEX and EVEX but for VZEROUPPER. */
// prettier-ignore
const escaped = table(M, [
  [0x04, 0x04, X], [0x05, 0x09, 0], [0x0a, 0x0a, X], [0x0b, 0x0b, 0], [0x0c, 0x0c, X], [0x0e, 0x0e, 0], [0x0f, 0x0f, M | B],
  [0x24, 0x27, X], [0x30, 0x37, 0], [0x36, 0x36, X], [0x39, 0x39, X], [0x3b, 0x3f, X],
  [0x70, 0x73, M | B], [0x77, 0x77, 0], [0x7a, 0x7b, X], [0x80, 0x8f, D], [0xa0, 0xa2, 0], [0xa4, 0xa4, M | B],
  [0xa8, 0xaa, 0], [0xac, 0xac, M | B], [0xba, 0xba, M | B], [0xc2, 0xc2, M | B], [0xc4, 0xc6, M | B], [0xc8, 0xcf, 0],
]);
const maps = [escaped, table(M, []), table(M | B, [])];
/** Map 1 with VEX and EVEX: nothing is without ModRM but VZEROUPPER and VZEROALL, and the immediates are fewer. */
// prettier-ignore
const vector = table(M, [
  [0x70, 0x73, M | B], [0x77, 0x77, 0], [0xc2, 0xc2, M | B], [0xc4, 0xc6, M | B],
]);
const XOP_MAPS = [M | B, M, M | D];

const isPrefix = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]) isPrefix[byte] = 1;
isPrefix.fill(1, 0x40, 0x50); // REX

/** How many prefixes the instruction at an offset begins with. */
export function prefixCount(bytes: Uint8Array, offset: number): number {
  let at = offset;
  while (isPrefix[bytes[at]] === 1) at++;
  return at - offset;
}

/**
 * The length of the instruction at an offset; 0 where none begins, or where it is not whole. Encodings that are none
 * only for what their ModRM byte or prefixes say have a length all the same.
 */
export function instructionLength(bytes: Uint8Array, offset: number): number {
  const end = Math.min(bytes.length, offset + MAX_INSTRUCTION_LENGTH);
  let at = offset;
  let [hasOperandSize, hasAddressSize, hasRepne] = [false, false, false];
  // A REX prefix counts only directly before the opcode.
  let isWide = false;
  for (; at < end && isPrefix[bytes[at]] === 1; at++) {
    isWide = (bytes[at] & 0xf8) === REX_W;
    hasOperandSize ||= bytes[at] === OPERAND_SIZE;
    hasAddressSize ||= bytes[at] === ADDRESS_SIZE;
    if (bytes[at] === REPNE) hasRepne = true;
    else if (bytes[at] === 0xf3) hasRepne = false;
  }
  const opcode = bytes[at++];
  let follows: number = oneByte[opcode];
  let last = opcode;
  if (at < end) {
    if (opcode === ESCAPE) {
      last = bytes[at++];
      const map = last === 0x38 ? 1 : last === 0x3a ? 2 : 0;
      follows = map === 0 ? escaped[last] : maps[map][bytes[at++]];
      // EXTRQ and INSERTQ: two immediates (SSE4A).
      if (map === 0 && last === 0x78 && (hasOperandSize || hasRepne)) follows |= Follows.word;
      // MOV to and from control and debug registers ignore ModRM's mode.
      if (map === 0 && last >= 0x20 && last <= 0x23) return at < end ? at + 1 - offset : 0;
    } else if (opcode === VEX2) {
      follows = vector[bytes[at + 1]];
      at += 2;
    } else if (opcode === VEX3 || opcode === EVEX) {
      const map = bytes[at] & (opcode === EVEX ? 7 : 31);
      const opcodeAt = at + (opcode === EVEX ? 3 : 2);
      follows = vectorFollows(map, bytes[opcodeAt]);
      at = opcodeAt + 1;
    } else if (opcode === XOP_OR_POP && (bytes[at] & 31) >= 8) {
      follows = XOP_MAPS[(bytes[at] & 31) - 8] ?? Follows.invalid;
      at += 3;
    } else if ((opcode === 0xf6 || opcode === 0xf7) && (bytes[at] & 0x30) === 0) {
      follows |= opcode === 0xf6 ? Follows.byte : Follows.operand;
    }
  }
  if (follows & Follows.invalid) return 0;
  if (follows & Follows.modrm) at += at < end ? memoryBytes(bytes, at) : end;
  const operand = hasOperandSize && !isWide ? 2 : 4;
  if (follows & Follows.byte) at += 1;
  if (follows & Follows.word) at += 2;
  if (follows & Follows.dword) at += 4;
  if (follows & Follows.operand) at += operand;
  if (follows & Follows.whole) at += isWide ? 8 : operand;
  if (follows & Follows.address) at += hasAddressSize ? 4 : 8;
  return at <= end ? at - offset : 0;
}

function vectorFollows(map: number, opcode: number): number {
  switch (map) {
    case 1:
      return vector[opcode];
    case 2:
    case 5:
    case 6:
      return Follows.modrm;
    case 3:
      return Follows.modrm | Follows.byte;
    default:
      return Follows.invalid;
  }
}

/** ModRM, SIB and displacement. */
function memoryBytes(bytes: Uint8Array, at: number): number {
  const modrm = bytes[at];
  const mode = modrm >> 6;
  if (mode === 3) return 1;
  const hasSib = (modrm & 7) === 4;
  const base = hasSib ? bytes[at + 1] & 7 : modrm & 7;
  const displacement = mode === 1 ? 1 : mode === 2 || base === 5 ? 4 : 0;
  return 1 + (hasSib ? 1 : 0) + displacement;
}
