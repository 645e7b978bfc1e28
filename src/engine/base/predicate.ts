/**
 * Conditions as plain data: what is asked of registers and memory at a breakpoint, to be computed where the program runs.
 * A stack machine on 64-bit values.
 */
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
