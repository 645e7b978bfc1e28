import { describe, expect, it } from 'vitest';
import { differingVectors, type XstateOf } from './xstate-compare.js';
import { MXCSR, ST0, XMM0, resetImage, writeU64, xstateBv } from './xstate-image.js';
import { HEADER_OFFSET, findComponent, type XstateLayout } from './xstate-layout.js';

const component = (bit: number, offset: number, size: number) => ({ bit, offset, size, aligned: false });
const amd: XstateLayout = {
  xcr0: 0xe7n,
  size: 2440,
  components: [
    component(2, 576, 256),
    component(5, 832, 64),
    component(6, 896, 512),
    component(7, 1408, 1024),
  ],
};
const intel: XstateLayout = {
  xcr0: 0x2e7n,
  size: 2696,
  components: [
    component(2, 576, 256),
    component(5, 1088, 64),
    component(6, 1152, 512),
    component(7, 1664, 1024),
    component(9, 2688, 8),
  ],
};

function full(layout: XstateLayout): XstateOf {
  const image = resetImage(layout);
  writeU64(image, HEADER_OFFSET, 0xe7n);
  image[4] = 0xff;
  for (let i = 0; i < 8; i++) image.fill(0x10 + i, ST0 + 16 * i, ST0 + 16 * i + 10);
  for (let i = XMM0; i < 416; i++) image[i] = i;
  for (const { bit, offset, size } of layout.components.filter(({ bit }) => bit < 9))
    for (let i = 0; i < size; i++) image[offset + i] = bit + i;
  return { image, layout };
}

/** The names that differ after a byte was changed in a copy. */
function changed(at: number, layout = intel): string[] {
  const other = full(layout);
  other.image[at] ^= 0x80;
  return differingVectors(full(amd), other);
}

describe('differingVectors', () => {
  it('finds the same values at different offsets', () => {
    expect(differingVectors(full(amd), full(intel))).toEqual([]);
    expect(differingVectors(full(intel), full(amd))).toEqual([]);
  });

  it.each<[string, number]>([
    ['st0', ST0],
    ['st7', ST0 + 7 * 16 + 9],
    ['xmm0', XMM0],
    ['xmm15', XMM0 + 255],
    ['ymm0', 576],
    ['ymm15', 576 + 255],
    ['k0', 1088],
    ['k7', 1088 + 63],
    ['zmm0', 1152],
    ['zmm15', 1152 + 511],
    ['zmm16', 1664],
    ['zmm31', 1664 + 1023],
  ])('names %s', (name, at) => {
    expect(changed(at)).toEqual([name]);
  });

  it('ignores control, status, pointers, PKRU', () => {
    for (const at of [0, 2, 6, 8, 16, MXCSR, 28, 2688, ST0 + 10])
      expect(changed(at), `byte ${at}`).toEqual([]);
  });

  it('takes an absent component for zeros', () => {
    const absent = full(amd);
    writeU64(absent.image, HEADER_OFFSET, 0n);
    const zero = { image: resetImage(intel), layout: intel };
    writeU64(zero.image, HEADER_OFFSET, 0xe6n);
    expect(xstateBv(absent.image)).toBe(0n);
    expect(differingVectors(absent, zero)).toEqual([]);
    zero.image[findComponent(intel, 6)!.offset] = 1;
    expect(differingVectors(absent, zero)).toEqual(['zmm0']);
  });

  it('passes over x87 registers that are empty in both, by their number', () => {
    const [a, b] = [full(amd), full(amd)];
    for (const { image } of [a, b]) {
      image[3] = 5 << 3; // ST(0) is register 5
      image[4] = 1 << 6; // ST(1)
    }
    b.image[ST0] ^= 1;
    expect(differingVectors(a, b)).toEqual([]);
    b.image[ST0 + 16] ^= 1;
    expect(differingVectors(a, b)).toEqual(['st1']);
    b.image[4] |= 1 << 5;
    expect(differingVectors(a, b)).toEqual(['st0', 'st1']);
  });

  it('compares what both have', () => {
    const sse: XstateLayout = { xcr0: 3n, size: 512, components: [] };
    const legacy = { image: full(amd).image.slice(0, 512), layout: sse };
    expect(differingVectors(legacy, full(intel))).toEqual([]);
    legacy.image[XMM0 + 16] ^= 1;
    expect(differingVectors(full(intel), legacy)).toEqual(['xmm1']);
  });
});
