import { expect, it } from 'vitest';
import { asArgument, cast, long, real, shortest } from './value.js';

it('casts as C does', () => {
  expect(cast(long(300n), 'char')).toMatchObject({ type: 'char', bits: 44n });
  expect(cast(long(-1n), 'unsigned int')).toMatchObject({ bits: 0xffff_ffffn });
  expect(cast(long(0x1_ffff_ffffn), 'int').float).toBe(-1);
  expect(cast(long(-5n), 'double')).toMatchObject({ type: 'double', float: -5 });
  expect(cast(real(-2.7), 'int').float).toBe(-2);
  expect(cast(real(NaN), 'long').bits).toBe(1n << 63n);
  expect(cast(real(0.1), 'float').float).toBe(Math.fround(0.1));
});

it("takes a call's result from the register of its type", () => {
  const result = { type: 'long', bits: 7n, float: 2.5, single: 0.5 } as const;
  expect(cast(result, 'double').float).toBe(2.5);
  expect(cast(result, 'float').float).toBe(0.5);
  expect(cast(result, 'int').bits).toBe(7n);
  expect(asArgument(result)).toBe(7n);
  expect(asArgument(cast(result, 'float'))).toEqual({ float: 0.5, isSingle: true });
});

it('prints single precision with the fewest sufficient digits', () => {
  expect([0.1, 16777216, 1.5, 1e-30, Infinity].map((value) => shortest(Math.fround(value)))).toEqual([
    '0.1',
    '16777216',
    '1.5',
    '1e-30',
    'Infinity',
  ]);
});
