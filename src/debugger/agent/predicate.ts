import { checkedPredicate, folded, type Predicate, type PredicateStep } from '../../engine/base/predicate.js';
import { BINARY_OPERATIONS, Op } from './opcodes.js';

/** Operations without operands. */
const SIMPLE: Readonly<Record<number, PredicateStep>> = {
  [Op.logNot]: { op: 'not' },
  [Op.bitNot]: { op: 'complement' },
  [Op.ref8]: { op: 'load', size: 1 },
  [Op.ref16]: { op: 'load', size: 2 },
  [Op.ref32]: { op: 'load', size: 4 },
  [Op.ref64]: { op: 'load', size: 8 },
  [Op.dup]: { op: 'duplicate' },
  [Op.pop]: { op: 'drop' },
  [Op.swap]: { op: 'swap' },
  [Op.rot]: { op: 'rotate' },
};

/** Bytes of operands. */
const OPERANDS: Readonly<Record<number, number>> = {
  [Op.ext]: 1,
  [Op.ifGoto]: 2,
  [Op.goto]: 2,
  [Op.const8]: 1,
  [Op.const16]: 2,
  [Op.const32]: 4,
  [Op.const64]: 8,
  [Op.reg]: 2,
  [Op.zeroExt]: 1,
  [Op.pick]: 1,
};

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
    isComplete = operation === Op.end;
    if (isComplete && at === code.length) break;
    const step = isComplete ? jump(code.length - 1, false) : stepOf(operation, operand, slotOf);
    if (!step) return null;
    steps.push(step);
  }
  if (!isComplete) return null;
  const resolved = steps.map((step) =>
    step.op === 'jump' ? { ...step, to: indexes.get(step.to) ?? -1 } : step,
  );
  const predicate = checkedPredicate(resolved);
  return predicate && folded(predicate);
}

/** Jumps are to offsets at first. */
function stepOf(
  operation: number,
  operand: bigint,
  slotOf: (register: number) => number,
): PredicateStep | null {
  if (operation in BINARY_OPERATIONS) return { op: BINARY_OPERATIONS[operation] };
  if (operation in SIMPLE) return SIMPLE[operation];
  const number = Number(operand);
  switch (operation) {
    case Op.ext:
    case Op.zeroExt:
      return { op: 'extend', bits: number, signed: operation === Op.ext };
    case Op.ifGoto:
    case Op.goto:
      return jump(number, operation === Op.ifGoto);
    case Op.const8:
    case Op.const16:
    case Op.const32:
    case Op.const64:
      return { op: 'constant', value: operand };
    case Op.reg:
      return { op: 'register', slot: slotOf(number) };
    case Op.pick:
      return { op: 'pick', depth: number };
    default:
      return null;
  }
}

const jump = (to: number, conditional: boolean): PredicateStep => ({ op: 'jump', to, conditional });

const bigEndian = (bytes: Uint8Array): bigint =>
  bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
