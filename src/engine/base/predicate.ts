/**
 * Conditions as plain data: what is asked of registers and memory at a breakpoint, to be computed where the program runs.
 * A stack machine on 64-bit values.
 */
import type { Gva } from './address.js';
import { Reg, type RegisterName } from './registers.js';

/** Of the two topmost values, of which the second operand is on top. A shift by 64 or more moves every bit out. */
export type BinaryOperation =
  | ('add' | 'subtract' | 'multiply' | 'and' | 'or' | 'xor')
  | ('divideSigned' | 'divideUnsigned' | 'remainderSigned' | 'remainderUnsigned')
  | ('shiftLeft' | 'shiftRightSigned' | 'shiftRightUnsigned')
  | ('equal' | 'lessSigned' | 'lessUnsigned');

export type PredicateStep =
  | { readonly op: 'constant'; readonly value: bigint }
  /** One of `PREDICATE_REGISTERS`, by its slot (`Reg`). */
  | { readonly op: 'register'; readonly slot: number }
  /** Replaces an address by the unsigned value there. */
  | { readonly op: 'load'; readonly size: 1 | 2 | 4 | 8 }
  /** The unsigned value that was at an address before the write that is judged: of watched memory only. */
  | { readonly op: 'earlier'; readonly address: Gva; readonly size: 1 | 2 | 4 | 8 }
  | { readonly op: BinaryOperation }
  /** `not`: 1 of 0, else 0. `rotate`: a b c => c a b, where c is on top. */
  | { readonly op: 'not' | 'complement' | 'duplicate' | 'drop' | 'swap' | 'rotate' }
  /** Copies a value of which so many are above. */
  | { readonly op: 'pick'; readonly depth: number }
  /** From so many low bits. */
  | { readonly op: 'extend'; readonly bits: number; readonly signed: boolean }
  /** To the step of this index, if the topmost value, which is taken, is not 0; or always. */
  | { readonly op: 'jump'; readonly to: number; readonly conditional: boolean };

/** rip is the address of the breakpoint. */
export const PREDICATE_REGISTERS = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'eflags'] as const),
] satisfies readonly RegisterName[];
const SLOTS: ReadonlySet<number> = new Set(PREDICATE_REGISTERS.map((name) => Reg[name]));

/** Holds if the value on top at the end is not 0. What `checkedPredicate` returned. */
export type Predicate = readonly PredicateStep[];

/** Values on the stack at a time. */
export const MAX_PREDICATE_DEPTH = 64;

/** How many values a step takes and leaves. */
function effectOf(step: PredicateStep): readonly [takes: number, leaves: number] {
  switch (step.op) {
    case 'constant':
    case 'register':
    case 'earlier':
      return [0, 1];
    case 'load':
    case 'not':
    case 'complement':
    case 'extend':
      return [1, 1];
    case 'duplicate':
      return [1, 2];
    case 'drop':
      return [1, 0];
    case 'swap':
      return [2, 2];
    case 'rotate':
      return [3, 3];
    case 'pick':
      return [step.depth + 1, step.depth + 2];
    case 'jump':
      return [step.conditional ? 1 : 0, 0];
    default:
      return [2, 1];
  }
}

/**
 * The steps if they surely end with a value, whatever it is, and need little room: jumps go forwards only, and each step is
 * reached with one height of the stack. Else null, and where another register is asked for.
 */
export function checkedPredicate(steps: readonly PredicateStep[]): Predicate | null {
  const heights: (number | undefined)[] = [0];
  for (const [index, step] of steps.entries()) {
    const height = heights[index];
    // Nothing leads here.
    if (height === undefined) return null;
    const [takes, leaves] = effectOf(step);
    const after = height - takes + leaves;
    if (step.op === 'register' && !SLOTS.has(step.slot)) return null;
    if (height < takes || after > MAX_PREDICATE_DEPTH) return null;
    const next = step.op === 'jump' && !step.conditional ? [] : [index + 1];
    if (step.op === 'jump') {
      if (step.to <= index || step.to > steps.length) return null;
      next.push(step.to);
    }
    for (const target of next) {
      if (heights[target] !== undefined && heights[target] !== after) return null;
      heights[target] = after;
    }
  }
  return (heights[steps.length] ?? 0) >= 1 ? steps : null;
}

/** What a predicate is computed of. Each throws where there is nothing. */
export interface PredicateContext {
  register(slot: number): bigint;
  /** Unsigned, little-endian. */
  memory(address: bigint, size: number): bigint;
  earlier(address: Gva, size: number): bigint;
}

const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const truth = (value: boolean): bigint => (value ? 1n : 0n);
const shift = (count: bigint): bigint => (count > 64n ? 64n : count);

/** Of unsigned 64-bit values, `b` the topmost; the result may have more bits. Throws RangeError where there is no quotient. */
export const COMPUTE: Readonly<Record<BinaryOperation, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divideSigned: (a, b) => signed(a) / signed(b),
  divideUnsigned: (a, b) => a / b,
  remainderSigned: (a, b) => signed(a) % signed(b),
  remainderUnsigned: (a, b) => a % b,
  shiftLeft: (a, b) => a << shift(b),
  shiftRightSigned: (a, b) => signed(a) >> shift(b),
  shiftRightUnsigned: (a, b) => a >> shift(b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  equal: (a, b) => truth(a === b),
  lessSigned: (a, b) => truth(signed(a) < signed(b)),
  lessUnsigned: (a, b) => truth(a < b),
};

/** The value of a predicate, unsigned; 0: it does not hold. Throws what the context throws, and RangeError. */
export function evaluatePredicate(predicate: Predicate, context: PredicateContext): bigint {
  const stack: bigint[] = [];
  // `checkedPredicate` has seen to it that there is one.
  const pop = (): bigint => stack.pop() ?? 0n;
  const push = (value: bigint): void => void stack.push(BigInt.asUintN(64, value));
  for (let at = 0; at < predicate.length; at++) {
    const step = predicate[at];
    switch (step.op) {
      case 'constant':
        push(step.value);
        break;
      case 'register':
        push(context.register(step.slot));
        break;
      case 'load':
        push(context.memory(pop(), step.size));
        break;
      case 'earlier':
        push(context.earlier(step.address, step.size));
        break;
      case 'not':
        push(truth(pop() === 0n));
        break;
      case 'complement':
        push(~pop());
        break;
      case 'extend':
        push(step.signed ? BigInt.asIntN(step.bits, pop()) : BigInt.asUintN(step.bits, pop()));
        break;
      case 'duplicate':
        push(stack.at(-1) ?? 0n);
        break;
      case 'pick':
        push(stack.at(-1 - step.depth) ?? 0n);
        break;
      case 'drop':
        pop();
        break;
      case 'swap':
      case 'rotate':
        stack.splice(stack.length - (step.op === 'swap' ? 2 : 3), 0, pop());
        break;
      case 'jump':
        if (!step.conditional || pop() !== 0n) at = step.to - 1;
        break;
      default: {
        const b = pop();
        push(COMPUTE[step.op](pop(), b));
      }
    }
  }
  return pop();
}

/** For predicates that ask for none of these. */
export const ONLY_ZEROS: PredicateContext = {
  register: () => 0n,
  memory: () => 0n,
  earlier: () => 0n,
};

/** The constant that a step makes of these, or null. */
function constantOf(operands: readonly PredicateStep[], step: PredicateStep): bigint | null {
  try {
    return evaluatePredicate([...operands, step], ONLY_ZEROS);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Indexes of the steps that jumps lead to. */
const jumpTargets = (predicate: Predicate): ReadonlySet<number> =>
  new Set(predicate.flatMap((step) => (step.op === 'jump' ? [step.to] : [])));

/** The same with what follows from constants computed in advance. */
export function folded(predicate: Predicate): Predicate {
  const targets = jumpTargets(predicate);
  const steps: PredicateStep[] = [];
  /** By old index, the new one. */
  const places: number[] = [];
  /** What is before may not have been executed. */
  let barrier = 0;
  for (const [index, step] of predicate.entries()) {
    if (targets.has(index)) barrier = steps.length;
    places.push(steps.length);
    const [takes, leaves] = effectOf(step);
    const first = steps.length - takes;
    const operands = steps.slice(Math.max(first, 0));
    const isConstant = first >= barrier && operands.every(({ op }) => op === 'constant');
    const isComputed = takes > 0 && leaves === 1 && step.op !== 'load' && step.op !== 'jump';
    const value = isComputed && isConstant ? constantOf(operands, step) : null;
    if (value === null) steps.push(step);
    else steps.splice(first, takes, { op: 'constant', value });
  }
  places.push(steps.length);
  return steps.map((step) => (step.op === 'jump' ? { ...step, to: places[step.to] } : step));
}

/**
 * The same, of memory as it was before a write to a range: of what is loaded there. Null where a load is of an address
 * that has to be computed, which may lie there, or goes beyond the range.
 */
export function asBefore(predicate: Predicate, start: Gva, end: number): Predicate | null {
  const changed = [...predicate];
  const targets = jumpTargets(predicate);
  for (const [index, step] of predicate.entries()) {
    if (step.op !== 'load') continue;
    const before = predicate[index - 1];
    if (before?.op !== 'constant' || targets.has(index)) return null;
    const address = Number(BigInt.asUintN(64, before.value));
    const last = address + step.size;
    if (last <= start || address >= end) continue;
    if (address < start || last > end) return null;
    changed[index - 1] = { op: 'earlier', address: address as Gva, size: step.size };
    // Steps keep their places, for jumps.
    changed[index] = { op: 'extend', bits: 64, signed: false };
  }
  return changed;
}
