import { expect, it } from 'vitest';
import { formatMicros, median, formatRate } from './statistics.js';

it('is independent of the order', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

it('writes times with the unit that fits', () => {
  expect(formatMicros(2.534)).toBe('2.53 us');
  expect(formatMicros(15_340)).toBe('15.3 ms');
  expect(formatMicros(4_200_000)).toBe('4.20 s');
  expect(formatMicros(999.7)).toBe('1.00 ms');
  expect(formatMicros(999_700)).toBe('1.00 s');
  expect(formatMicros(1_234_000_000)).toBe('1234 s');
});

it('writes rates with three digits', () => {
  expect(formatRate(31_415_926)).toBe('31.4 million/s');
  expect(formatRate(7_432.6)).toBe('7,430/s');
  expect(formatRate(12.34)).toBe('12.3/s');
});
