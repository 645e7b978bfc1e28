/** The byte code of agent expressions (gdb manual, "Bytecode Descriptions"). */
import type { BinaryOperation } from '../../engine/base/predicate.js';

export const Op = {
  logNot: 0x0e,
  bitNot: 0x12,
  ext: 0x16,
  ref8: 0x17,
  ref16: 0x18,
  ref32: 0x19,
  ref64: 0x1a,
  ifGoto: 0x20,
  goto: 0x21,
  const8: 0x22,
  const16: 0x23,
  const32: 0x24,
  const64: 0x25,
  reg: 0x26,
  end: 0x27,
  dup: 0x28,
  pop: 0x29,
  zeroExt: 0x2a,
  swap: 0x2b,
  pick: 0x32,
  rot: 0x33,
} as const;

/** Operations on the two topmost values. */
export const BINARY_OPERATIONS: Readonly<Record<number, BinaryOperation>> = {
  0x02: 'add',
  0x03: 'subtract',
  0x04: 'multiply',
  0x05: 'divideSigned',
  0x06: 'divideUnsigned',
  0x07: 'remainderSigned',
  0x08: 'remainderUnsigned',
  0x09: 'shiftLeft',
  0x0a: 'shiftRightSigned',
  0x0b: 'shiftRightUnsigned',
  0x0f: 'and',
  0x10: 'or',
  0x11: 'xor',
  0x13: 'equal',
  0x14: 'lessSigned',
  0x15: 'lessUnsigned',
};
