/** Values of expressions: whole numbers of at most 64 bits, and floating-point numbers. Pure. */
import type { ValueType } from './expression.js';

export interface Value {
  readonly type: ValueType;
  readonly bits: bigint;
  /** The value as a double; for a call: xmm0. */
  readonly float: number;
  /** Of a call: the single-precision number in xmm0. */
  readonly single?: number;
}

/** What a call gets: a whole number in a general register, or a floating-point number in a vector register. */
export type Argument = bigint | { readonly float: number; readonly isSingle: boolean };

export const long = (value: bigint): Value => {
  const bits = BigInt.asUintN(64, value);
  return { type: 'long', bits, float: Number(BigInt.asIntN(64, bits)) };
};

export const real = (value: number, isSingle = false): Value => {
  const float = isSingle ? Math.fround(value) : value;
  return { type: isSingle ? 'float' : 'double', bits: truncated(float), float };
};

export const isReal = ({ type }: Value): boolean => type === 'double' || type === 'float';

/** Towards zero, as CVTTSD2SI: what does not fit is the smallest number. */
function truncated(float: number): bigint {
  const fits = float >= -(2 ** 63) && float < 2 ** 63;
  return BigInt.asUintN(64, fits ? BigInt(Math.trunc(float)) : -(1n << 63n));
}

const NAMES: Partial<Record<ValueType, string>> = {
  unsigned: 'unsigned long',
  pointer: 'void *',
  string: 'char *',
};

/** As C writes it. */
export const typeName = (type: ValueType): string => NAMES[type] ?? type;

const WIDTH: Partial<Record<ValueType, readonly [bits: number, isSigned: boolean]>> = {
  long: [64, true],
  int: [32, true],
  'unsigned int': [32, false],
  short: [16, true],
  char: [8, true],
};

/** The value as another type. The register of a call's result depends on the type. */
export function cast(value: Value, type: ValueType): Value {
  if (type === 'double') return real(value.float);
  if (type === 'float') return real(value.single ?? value.float, true);
  const width = WIDTH[type];
  if (!width) return { ...value, type };
  const [bits, isSigned] = width;
  return { ...long(isSigned ? BigInt.asIntN(bits, value.bits) : BigInt.asUintN(bits, value.bits)), type };
}

/** An uncast result of a call is the whole number. */
export const asArgument = (value: Value): Argument =>
  isReal(value) ? { float: value.float, isSingle: value.type === 'float' } : value.bits;

/** The fewest digits that are this single-precision number and no other. */
export function shortest(float: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = float.toPrecision(digits);
    if (Math.fround(Number(text)) === float) return String(Number(text));
  }
  return String(float);
}
