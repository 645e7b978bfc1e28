import { expect, it } from 'vitest';
import { parseExpression } from './expression.js';

const symbol = (name: string) => ({ kind: 'symbol', name });
const number = (value: number) => ({ kind: 'number', value: BigInt(value) });

it('knows calls, casts, strings, characters, registers and sums', () => {
  expect(parseExpression('f(1, -0x10, "a\\n", \'b\', $rdi + 8, &root)')).toEqual({
    kind: 'call',
    callee: symbol('f'),
    arguments: [
      number(1),
      { kind: 'negative', operand: number(16) },
      { kind: 'string', text: 'a\n' },
      number(98),
      { kind: 'sum', left: { kind: 'register', name: 'rdi' }, right: number(8) },
      { kind: 'address', name: 'root' },
    ],
  });
  expect(parseExpression('(const char *)describe(root)')).toMatchObject({ kind: 'cast', type: 'string' });
  expect(parseExpression('(struct node *)find(root, 3)')).toMatchObject({ kind: 'cast', type: 'pointer' });
  expect(parseExpression('(f)(1)')).toMatchObject({ kind: 'call', callee: symbol('f') });
});

it.each<[string, number]>([
  ['010', 8],
  ['0', 0],
  ['0x1Ful', 31],
  ['0b101', 5],
  ['7u', 7],
  ['7LL', 7],
  ['7ull', 7],
  ['7lu', 7],
  ["'a'", 97],
  ["'\\n'", 10],
  ["'\\0'", 0],
  ["'\\101'", 65],
  ["'\\x41'", 65],
  ["'\\377'", -1],
  ["'\\''", 39],
])('%s is %i', (text, value) => {
  expect(parseExpression(text)).toEqual(number(value));
});

it.each<[string, number, boolean?]>([
  ['5.0', 5],
  ['5.', 5],
  ['.5', 0.5],
  ['1e3', 1000],
  ['1.5e-1', 0.15],
  ['5.5f', 5.5, true],
  ['0.1f', Math.fround(0.1), true],
  ['2.5L', 2.5],
  ['0x1.8p3', 12],
  ['0xap-1', 5],
])('%s is the floating-point number %d', (text, value, isSingle = false) => {
  expect(parseExpression(text)).toEqual({ kind: 'float', value, isSingle });
});

it('takes no literal for another', () => {
  for (const text of [
    '08',
    '0x',
    "'a b'",
    "''",
    "'é'",
    '5x',
    '1.2.3',
    '5lul',
    '0x1p',
    '18446744073709551616',
  ])
    expect(() => parseExpression(text), text).toThrow(/cannot be understood/);
});

it('knows names of templates, and quoted ones', () => {
  const calls = { kind: 'call', arguments: [number(3), number(4)] };
  expect(parseExpression('larger<int>(3, 4)')).toEqual({ ...calls, callee: symbol('larger<int>') });
  expect(parseExpression("'checked(int)'(3, 4)")).toEqual({ ...calls, callee: symbol('checked(int)') });
});

it('refuses the rest', () => {
  for (const text of ['', 'f(', 'f(1 2)', '1 +', 'a.b', '"open'])
    expect(() => parseExpression(text), text).toThrow(/cannot be understood/);
});
