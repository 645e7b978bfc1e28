import {
  checkedPredicate,
  type BinaryOperation,
  type Predicate,
  type PredicateStep,
} from '../../engine/base/predicate.js';

const BINARY: Readonly<Record<number, BinaryOperation>> = {
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

/** Operations without operands. */
const SIMPLE: Readonly<Record<number, PredicateStep>> = {
  0x0e: { op: 'not' },
  0x12: { op: 'complement' },
  0x17: { op: 'load', size: 1 },
  0x18: { op: 'load', size: 2 },
  0x19: { op: 'load', size: 4 },
  0x1a: { op: 'load', size: 8 },
  0x28: { op: 'duplicate' },
  0x29: { op: 'drop' },
  0x2b: { op: 'swap' },
  0x33: { op: 'rotate' },
};

/** Bytes of operands. */
const OPERANDS: Readonly<Record<number, number>> = {
  0x16: 1, // ext
  0x20: 2, // if_goto
  0x21: 2, // goto
  0x22: 1, // const8
  0x23: 2,
  0x24: 4,
  0x25: 8,
  0x26: 2, // reg
  0x2a: 1, // zero_ext
  0x32: 1, // pick
};
const END = 0x27;

/**
 * An agent expression as a predicate, or null if it is none: it is damaged, jumps backwards, or asks for more than general
 * registers and memory.
 * @param slotOf the slot of gdb's register of a number, or -1
 */
export function predicateOf(code: Uint8Array, slotOf: (register: number) => number): Predicate | null {
  const steps: PredicateStep[] = [];
  /** By offset in the code: the index of the step there. */
  const indexes = new Map<number, number>();
  let isComplete = false;
  for (let at = 0; at < code.length;) {
    indexes.set(at, steps.length);
    const operation = code[at++];
    const size = OPERANDS[operation] ?? 0;
    if (at + size > code.length) return null;
    const operand = bigEndian(code.subarray(at, at + size));
    at += size;
    isComplete = operation === END;
    if (isComplete && at === code.length) break;
    const step = isComplete ? jump(code.length - 1, false) : stepOf(operation, operand, slotOf);
    if (!step) return null;
    steps.push(step);
  }
  if (!isComplete) return null;
  const resolved = steps.map((step) =>
    step.op === 'jump' ? { ...step, to: indexes.get(step.to) ?? -1 } : step,
  );
  return checkedPredicate(resolved);
}

/** Jumps are to offsets at first. */
function stepOf(
  operation: number,
  operand: bigint,
  slotOf: (register: number) => number,
): PredicateStep | null {
  if (operation in BINARY) return { op: BINARY[operation] };
  if (operation in SIMPLE) return SIMPLE[operation];
  const number = Number(operand);
  switch (operation) {
    case 0x16:
    case 0x2a:
      return { op: 'extend', bits: number, signed: operation === 0x16 };
    case 0x20:
    case 0x21:
      return jump(number, operation === 0x20);
    case 0x22:
    case 0x23:
    case 0x24:
    case 0x25:
      return { op: 'constant', value: operand };
    case 0x26:
      return { op: 'register', slot: slotOf(number) };
    case 0x32:
      return { op: 'pick', depth: number };
    default:
      return null;
  }
}

const jump = (to: number, conditional: boolean): PredicateStep => ({ op: 'jump', to, conditional });

const bigEndian = (bytes: Uint8Array): bigint =>
  bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
