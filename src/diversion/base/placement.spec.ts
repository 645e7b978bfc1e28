import { expect, it } from 'vitest';
import { gapBelow } from './placement.js';

const mapped = [
  { start: 0x10_0000, end: 0x20_0000 },
  { start: 0x30_0000, end: 0x40_0000 },
  { start: 0x50_0000, end: 0x60_0000 },
];

it('takes the highest gap below the base that is large enough', () => {
  expect(gapBelow(mapped, 0x70_0000, 0x1000)).toBe(0x6f_f000);
  expect(gapBelow(mapped, 0x60_0000, 0x1000)).toBe(0x4f_f000);
  expect(gapBelow(mapped, 0x60_0000, 0x10_0000)).toBe(0x40_0000);
  expect(gapBelow(mapped, 0x38_0000, 0x1000)).toBe(0x2f_f000);
  expect(gapBelow(mapped, 0x60_0000, 0x10_1000)).toBeNull();
  expect(gapBelow([], 0x10_0000, 0x1000)).toBe(0xf_f000);
});
