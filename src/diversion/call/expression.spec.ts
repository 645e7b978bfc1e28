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

it('refuses the rest', () => {
  for (const text of ['', 'f(', 'f(1 2)', '1 +', 'a.b', '"open'])
    expect(() => parseExpression(text), text).toThrow(/cannot be understood/);
});
