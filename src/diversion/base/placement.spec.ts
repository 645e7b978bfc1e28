import { expect, it } from 'vitest';
import { gpa, gva } from '../../engine/base/address.js';
import { GuestMemory } from '../../engine/kvm/guest-memory.js';
import { AddressSpace } from '../../engine/mm/address-space.js';
import { isFree } from '../../engine/mm/free.js';
import { findGap, gapBelow } from './placement.js';

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

it("leaves free what is the machine's own", () => {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 2 ** 20);
  const reserved = { start: gva(0x7000_0000_0000), end: gva(0x7ffe_ffff_f000) };
  const space = new AddressSpace(memory, { low: 0, high: 0, reserved });
  expect(findGap(space, 0x1_0000)).toBe(reserved.start - 0x1_0000);
  expect(isFree(space, gva(reserved.start - 0x1000), reserved.start)).toBe(true);
  expect(isFree(space, gva(reserved.start - 0x1000), gva(reserved.start + 0x1000))).toBe(false);
  expect(findGap(space.fork(), 0x1_0000)).toBe(reserved.start - 0x1_0000);
});
