/** Results of expressions, and the evaluator of those that need no types. */
import { RevenantError } from '../../engine/base/errors.js';
import type { Evaluator } from './evaluate.js';
import { typeName, type Value } from './value.js';

/** Integers that are not exact in a double, and addresses, are bigints. */
export type ExpressionValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly ExpressionValue[]
  | { readonly [name: string]: ExpressionValue };

export interface Evaluated {
  /** As gdb's `print` shows it; of a pointer to characters the text in quotes, without its address. */
  readonly text: string;
  /** As C, C++ or Rust write it. */
  readonly type: string;
  /**
   * The value as data: numbers, texts of character pointers and arrays, arrays, structures by the
   * names of their members; containers as shown by their pretty-printers. null: void, or more than
   * ten thousand elements.
   */
  readonly value: ExpressionValue;
  /** Of a pointer to characters: where the text is; else null. */
  readonly address: bigint | null;
}

/** Without types; throws E_EXPRESSION for expressions that need them. */
export async function evaluateBySymbols(text: string, evaluator: Evaluator): Promise<Evaluated> {
  try {
    return evaluatedOf(await evaluator.evaluate(text), evaluator);
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code !== 'E_USAGE') throw error;
    throw new RevenantError('E_EXPRESSION', error.message, error.hint, { cause: error });
  }
}

function evaluatedOf(value: Value, evaluator: Evaluator): Evaluated {
  const text = evaluator.format(value);
  const type = typeName(value.type);
  const base = { text, type, address: null };
  switch (value.type) {
    case 'void':
      return { ...base, value: null };
    case 'float':
    case 'double':
      return { ...base, value: value.float };
    case 'pointer':
      return { ...base, value: BigInt(text) };
    case 'string':
      if (value.bits === 0n) return { ...base, value: null };
      return { ...base, value: evaluator.readText(value.bits), address: value.bits };
    default: {
      const whole = BigInt(text);
      return { ...base, value: Number.isSafeInteger(Number(whole)) ? Number(whole) : whole };
    }
  }
}
