import { describe, expect, it } from 'vitest';
import type { CpuidLeaf } from './xstate-layout.js';
import { compactedLayout, hardwareLayout, recordedLayout, sameLayout, xcr0Names } from './xstate-layout.js';

const leaf = (ecxIn: number, eax: number, ebx: number, ecx = 0, edx = 0): CpuidLeaf => ({
  eaxIn: 0xd,
  ecxIn,
  eax,
  ebx,
  ecx,
  edx,
});

/** An Intel processor with protection keys (bit 9 at 2688) and MPX (bits 3 and 4). */
const skylake = [
  leaf(0, 0x21f, 0xa88),
  leaf(2, 256, 576),
  leaf(3, 64, 960),
  leaf(4, 64, 1024),
  leaf(9, 8, 2688),
];
/** An AMD processor with AVX-512: components 5 to 7 and 9 packed elsewhere than Intel's. */
const zen4 = [
  leaf(0, 0x2e7, 2440),
  leaf(2, 256, 576),
  leaf(5, 64, 832),
  leaf(6, 512, 896),
  leaf(7, 1024, 1408),
  leaf(9, 8, 2432),
];
/** Tile data is aligned in the compacted form. */
const amx = [
  leaf(0, 0x60207, 11008),
  leaf(2, 256, 576),
  leaf(9, 8, 2688),
  leaf(17, 64, 2752, 2),
  leaf(18, 8192, 2816, 6),
];

describe('recordedLayout', () => {
  it('takes the components of XCR0', () => {
    const layout = recordedLayout(skylake, 0x207n);
    expect(layout.size).toBe(2696);
    expect(layout.components.map(({ bit, offset, size }) => [bit, offset, size])).toEqual([
      [2, 576, 256],
      [9, 2688, 8],
    ]);
  });

  it('falls back to leaf 0xD, then to FXSAVE', () => {
    expect(recordedLayout(skylake, 0n).xcr0).toBe(0x21fn);
    expect(recordedLayout([], 0n)).toEqual({ xcr0: 3n, size: 512, components: [] });
    expect(recordedLayout([leaf(0, 3, 576)], 3n).size).toBe(576);
  });

  const corrupt: [string, CpuidLeaf[], bigint][] = [
    ['no leaf of a component', [leaf(0, 7, 832)], 7n],
    ['a component of no bytes', [leaf(0, 7, 832), leaf(2, 0, 576)], 7n],
    ['a component in the header', [leaf(0, 7, 832), leaf(2, 256, 512)], 7n],
    ['a component beyond 16 KiB', [leaf(0, 7, 832), leaf(2, 0xffff_ffff, 576)], 7n],
    ['negative words', [leaf(0, 7, 832), leaf(2, -1, -1)], 7n],
    ['overlap', [leaf(0, 0x207, 2696), leaf(2, 256, 576), leaf(9, 8, 600)], 0x207n],
    ['an image smaller than its components', [leaf(0, 7, 600), leaf(2, 256, 576)], 7n],
    ['a huge image', [leaf(0, 7, 0x7fff_ffff), leaf(2, 256, 576)], 7n],
    ['XCR0 without x87', [leaf(0, 6, 832), leaf(2, 256, 576)], 6n],
    ['XCR0 bit 63', [leaf(0, 7, 832), leaf(2, 256, 576)], (1n << 63n) | 7n],
    ['AVX without leaf 0xD', [], 7n],
  ];
  it.each(corrupt)('refuses %s', (_what, records, xcr0) => {
    expect(() => recordedLayout(records, xcr0)).toThrow(expect.objectContaining({ code: 'E_TRACE_CORRUPT' }));
  });
});

describe('hardwareLayout', () => {
  it('computes the size itself', () => {
    expect(hardwareLayout(zen4, 7n).size).toBe(832);
    expect(hardwareLayout(zen4, 0x2e7n).size).toBe(2440);
    expect(hardwareLayout([leaf(0, 7, 0), leaf(2, 256, 576)], 7n).size).toBe(832);
  });

  it('names what the machine lacks', () => {
    expect(() => hardwareLayout([leaf(0, 7, 832), leaf(2, 256, 576)], 0x207n)).toThrow(/PKRU/);
  });
});

describe('compactedLayout', () => {
  it('packs the components of the mask', () => {
    const { components, size } = compactedLayout(recordedLayout(skylake, 0x207n), 0x207n);
    expect(components.map(({ offset }) => offset)).toEqual([576, 832]);
    expect(size).toBe(840);
    expect(compactedLayout(hardwareLayout(skylake, 0x207n), 0x203n).size).toBe(584);
    expect(compactedLayout(hardwareLayout(skylake, 0x207n), 3n).size).toBe(576);
  });

  it('aligns what asks for it', () => {
    const { components, size } = compactedLayout(recordedLayout(amx, 0x60207n), 0x60207n);
    expect(components.map(({ offset }) => offset)).toEqual([576, 832, 896, 960]);
    expect(size).toBe(960 + 8192);
  });
});

describe('comparison and names', () => {
  it('distinguishes layouts', () => {
    const layout = recordedLayout(skylake, 0x207n);
    expect(sameLayout(layout, hardwareLayout(skylake, 0x207n))).toBe(true);
    expect(sameLayout(layout, hardwareLayout(zen4, 0x207n))).toBe(false);
    expect(sameLayout(layout, hardwareLayout(skylake, 7n))).toBe(false);
  });

  it('names bits', () => {
    expect(xcr0Names(0x207n)).toEqual(['x87', 'SSE', 'AVX', 'PKRU']);
    expect(xcr0Names(0x8000e0n)).toEqual(['opmask', 'ZMM_Hi256', 'Hi16_ZMM', 'bit 23']);
  });
});
