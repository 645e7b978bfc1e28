import { describe, expect, it } from 'vitest';
import { completionFeatures, machineLayout, processorXcr0 } from './completion.js';
import { recordedLayout, type CpuidLeaf } from './xstate-layout.js';

const leaf = (eaxIn: number, ecxIn: number, values: Partial<CpuidLeaf>): CpuidLeaf => ({
  ...{ eaxIn, ecxIn, eax: 0, ebx: 0, ecx: 0, edx: 0 },
  ...values,
});
const component = (bit: number, size: number, offset: number): CpuidLeaf =>
  leaf(0xd, bit, { eax: size, ebx: offset });

/** Intel's with AMX. */
const SAPPHIRE: readonly CpuidLeaf[] = [
  leaf(0xd, 0, { eax: 0x6_02e7, ebx: 11008 }),
  component(2, 256, 576),
  component(5, 64, 1088),
  component(6, 512, 1152),
  component(7, 1024, 1664),
  component(9, 8, 2688),
  component(17, 64, 2752),
  component(18, 8192, 2816),
];
/** An AMD with protection keys. */
const ROME: readonly CpuidLeaf[] = [
  leaf(0xd, 0, { eax: 0x207, ebx: 840 }),
  component(2, 256, 576),
  component(9, 8, 832),
];

describe('processorXcr0', () => {
  it.each([
    [0xe7n, 0x207n, 0x7n],
    [0xe7n, 0xe7n, 0xe7n],
    [0x2e7n, 0x207n, 0x207n],
    [0x7n, 0x3n, 0x3n],
    // One of three is none of them.
    [0xe7n, 0x67n, 0x7n],
    [0x6_02e7n, 0x2e7n, 0x2e7n],
    [0x6_02e7n, 0x207n, 0x207n],
    [0x8_02e7n, 0x207n, 0x207n],
    // What cannot be kept is left for KVM to refuse.
    [0x10_0007n, 0x7n, 0x10_0007n],
  ])('of 0x%x where there is 0x%x', (recorded, supported, expected) => {
    expect(processorXcr0(recorded, supported)).toBe(expected);
  });
});

it('puts what the processor lacks behind what it has', () => {
  const recorded = recordedLayout(SAPPHIRE, 0x6_02e7n);
  const { xcr0, size, components } = machineLayout(ROME, recorded, 0x207n);
  expect(xcr0).toBe(0x6_02e7n);
  expect(components.map(({ bit, offset }) => [bit, offset])).toEqual([
    [2, 576],
    [5, 896],
    [6, 960],
    [7, 1472],
    [9, 832],
    [17, 2496],
    [18, 2560],
  ]);
  expect(size).toBe(2560 + 8192);
});

it('has no feature whose registers were switched off', () => {
  const announces = [leaf(7, 0, { ebx: (1 << 16) | (1 << 5) | (1 << 3) })];
  const [avx512f, avx2, bmi1] = [1n, 1n << 18n, 1n << 21n];
  expect(completionFeatures(announces, 0xe7n)).toBe(avx512f | avx2 | bmi1);
  expect(completionFeatures(announces, 0x7n)).toBe(avx2 | bmi1);
  expect(completionFeatures(announces, 0x3n)).toBe(bmi1);
  const tiles = [leaf(7, 0, { edx: (1 << 22) | (1 << 24) | (1 << 25) })];
  expect(completionFeatures(tiles, 0x6_02e7n)).toBe(7n << 26n);
  expect(completionFeatures(tiles, 0x2e7n)).toBe(0n);
});

it('has bits of instructions without VEX from 32 on', () => {
  const announces = [leaf(1, 0, { ecx: 1 }), leaf(7, 0, { ebx: 1 << 29, ecx: 1 << 5 })];
  const [sse3, sha, waitpkg] = [1n << 32n, 1n << 41n, 1n << 52n];
  expect(completionFeatures(announces, 0x3n)).toBe(sse3 | sha | waitpkg);
});

it('has bits of what came later', () => {
  const announces = [
    leaf(0x8000_0001, 0, { ecx: (1 << 11) | (1 << 16) | (1 << 21) }),
    leaf(7, 1, { eax: 0x80_0087, edx: (1 << 4) | (1 << 5) | (1 << 10) }),
  ];
  const [ifma, tbm, compareAdd] = [1n << 31n, 1n << 55n, 1n << 62n];
  // From XOP on all.
  expect(completionFeatures(announces, 0x7n)).toBe(ifma | (0x3ffn << 53n));
  expect(completionFeatures(announces, 0x3n)).toBe(tbm | compareAdd);
  const tiles = [leaf(7, 1, { eax: 1 << 21, edx: 1 << 8 })];
  expect(completionFeatures(tiles, 0x6_02e7n)).toBe(3n << 29n);
});
