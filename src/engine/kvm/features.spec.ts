import { expect, it } from 'vitest';
import { xcr0BitNames } from './features.js';

it('names missing bits of XCR0, grouped by extension', () => {
  expect(xcr0BitNames(0x200n)).toBe('XCR0 bit 9 (PKRU, protection keys)');
  expect(xcr0BitNames(4n)).toBe('XCR0 bit 2 (AVX)');
  expect(xcr0BitNames(1n << 40n)).toBe('XCR0 bit 40');
  expect(xcr0BitNames(0x600e0n)).toBe(
    'XCR0 bits 5, 6, 7 (opmask, ZMM_Hi256, Hi16_ZMM: AVX-512), XCR0 bits 17, 18 (XTILECFG, XTILEDATA: AMX)',
  );
});
