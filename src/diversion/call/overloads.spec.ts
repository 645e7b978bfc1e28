import { expect, it } from 'vitest';
import type { Gva } from '../../engine/base/address.js';
import type { FoundSymbol } from '../../engine/guest/mapped-symbols.js';
import { argumentsFor, overloadFor } from './overloads.js';
import { long, real, type Value } from './value.js';

const named = (title: string, ...parameters: string[]): FoundSymbol => ({
  title,
  parameters,
  address: 0 as Gva,
  size: 1,
  isCode: true,
  isResolver: false,
});
const text: Value = { type: 'string', bits: 1n, float: 0 };

it('chooses by number and kind of arguments', () => {
  const checked = [named('checked(int)', 'int'), named('checked(char const*)', 'char const*')];
  expect(overloadFor('checked', checked, [long(3n)])).toBe(checked[0]);
  expect(overloadFor('checked', checked, [text])).toBe(checked[1]);
  const price = [named('s::price(I*)', 'I*'), named('s::price(I*, int)', 'I*', 'int')];
  expect(overloadFor('price', price, [text, long(3n)])).toBe(price[1]);
  const larger = [named('larger<int>', 'int', 'int'), named('larger<double>', 'double', 'double')];
  expect(overloadFor('larger', larger, [real(1.5), real(1)])).toBe(larger[1]);
  expect(() => overloadFor('checked', checked, [])).toThrow(
    'checked is ambiguous: there are checked(int), checked(char const*).',
  );
});

it('converts arguments to the types of parameters', () => {
  expect(argumentsFor(named('f', 'double', 'float', 'int'), [long(5n), real(1.5), real(2.9)])).toEqual([
    { float: 5, isSingle: false },
    { float: 1.5, isSingle: true },
    2n,
  ]);
  expect(argumentsFor(named('A::f', 'double'), [long(16n), long(1n)])).toEqual([
    16n,
    { float: 1, isSingle: false },
  ]);
  expect(argumentsFor(null, [real(1.5)])).toEqual([{ float: 1.5, isSingle: false }]);
});
