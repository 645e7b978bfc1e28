import { expect, it } from 'vitest';
import { AMD, EMULATOR, INTEL, xsaveTraits } from './xsave-traits.js';
import type { CpuidLeaf } from './xstate-layout.js';

function named(eaxIn: number, name: string): CpuidLeaf {
  const words = new Uint32Array(Uint8Array.from(Buffer.from(name)).buffer);
  const [ebx, second, third] = words;
  return { eaxIn, ecxIn: 0xffff_ffff, eax: 0, ebx, ecx: second, edx: third };
}

it('identifies a processor by its vendor, and the emulator with any CPU model', () => {
  const emulator = named(0x4000_0000, 'TCGTCGTCGTCG');
  const kvm = named(0x4000_0000, 'KVMKVMKVM\0\0\0');
  const vendor = (name: string): CpuidLeaf => named(0, name);
  expect(xsaveTraits([vendor('GenuntelineI'), kvm])).toBe(INTEL);
  expect(xsaveTraits([vendor('AuthcAMDenti'), kvm])).toBe(AMD);
  expect(xsaveTraits([vendor('HygouineGenu')])).toBe(AMD);
  expect(xsaveTraits([vendor('AuthcAMDenti'), emulator])).toBe(EMULATOR);
  expect(xsaveTraits([vendor('GenuntelineI'), emulator])).toBe(EMULATOR);
  expect(xsaveTraits([])).toBe(INTEL);
});
