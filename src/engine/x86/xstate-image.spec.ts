import { describe, expect, it } from 'vitest';
import type { XstateLayout } from './xstate-layout.js';
import {
  checkImage,
  clearFipFdp,
  convertImage,
  execImage,
  FIP,
  MXCSR,
  readFdp,
  readFip,
  readPkru,
  readU32,
  readU64,
  readXmm,
  readYmm,
  resetImage,
  writeU32,
  writeU64,
  xgetbv1,
  xinuse,
  xstateBv,
} from './xstate-image.js';

const avx: XstateLayout['components'][number] = { bit: 2, offset: 576, size: 256, aligned: false };
const layout7: XstateLayout = { xcr0: 7n, size: 832, components: [avx] };
const intel: XstateLayout = {
  xcr0: 0x207n,
  size: 2696,
  components: [avx, { bit: 9, offset: 2688, size: 8, aligned: false }],
};
const amd: XstateLayout = {
  xcr0: 0x207n,
  size: 840,
  components: [avx, { bit: 9, offset: 832, size: 8, aligned: false }],
};
const fxsave: XstateLayout = { xcr0: 3n, size: 512, components: [] };

/** An image with every byte of its components set, as far as XSTATE_BV says. */
function patterned(layout: XstateLayout, present: bigint): Uint8Array {
  const image = Uint8Array.from({ length: layout.size }, (_, i) => (i * 7) & 0xff || 1);
  image.fill(0, 416);
  for (const { offset, size } of layout.components) image.fill(0xa5, offset, offset + size);
  if (layout.size > 512) writeU64(image, 512, present);
  writeU32(image, MXCSR, 0x1fa0);
  return image;
}

describe('initial images', () => {
  it('resets as rr does for a signal handler', () => {
    const image = resetImage(layout7);
    expect(image.length).toBe(832);
    expect([image[0], image[1], readU32(image, MXCSR), xstateBv(image)]).toEqual([0x7f, 3, 0x1f80, 1n]);
    expect(image.filter((byte) => byte !== 0).length).toBe(5);
    expect(xstateBv(resetImage(intel))).toBe(0x201n);
    expect(readPkru(resetImage(intel), intel)).toBe(0x5555_5554);
    expect(resetImage(fxsave).length).toBe(512);
  });

  it('has nothing in use', () => {
    for (const layout of [layout7, intel, amd, fxsave]) {
      for (const image of [resetImage(layout), execImage(layout)]) {
        expect(xinuse(image, layout) & ~0x200n).toBe(0n);
        expect(xgetbv1(image, layout) & ~0x200n).toBe(0n);
      }
    }
    expect(xstateBv(execImage(layout7))).toBe(0n);
    expect(xstateBv(execImage(intel))).toBe(0x200n);
  });
});

describe('convertImage', () => {
  it('moves components and back', () => {
    const image = patterned(intel, 0x207n);
    const moved = convertImage(image, intel, amd);
    expect(moved.length).toBe(840);
    expect(moved.subarray(832, 840)).toEqual(new Uint8Array(8).fill(0xa5));
    expect(convertImage(moved, amd, intel)).toEqual(image);
  });

  it("moves AVX-512 between Intel's places and AMD's, and cuts off what was not recorded", () => {
    const of = (offsets: readonly number[], size: number): XstateLayout => ({
      xcr0: 0xe7n,
      size,
      components: [avx].concat(
        [64, 512, 1024].map((each, i) => ({ bit: 5 + i, offset: offsets[i], size: each, aligned: false })),
      ),
    });
    const skylake = of([1088, 1152, 1664], 2688);
    const zen4 = of([832, 896, 1408], 2432);
    for (const [from, to] of [
      [skylake, zen4],
      [zen4, skylake],
    ]) {
      const image = patterned(from, 0xe7n);
      for (const { bit, offset, size } of from.components) image.fill(bit, offset, offset + size);
      const moved = convertImage(image, from, to);
      expect(moved.length).toBe(to.size);
      expect(xstateBv(moved)).toBe(0xe7n);
      for (const { bit, offset, size } of to.components)
        expect(moved.subarray(offset, offset + size)).toEqual(new Uint8Array(size).fill(bit));
      expect(moved.subarray(0, 512)).toEqual(image.subarray(0, 512));
    }
  });

  it('stores initial values for absent components', () => {
    const image = patterned(layout7, 0n);
    const result = convertImage(image, layout7, layout7);
    expect(xstateBv(result)).toBe(0n);
    expect([result[0], result[1], readU32(result, MXCSR)]).toEqual([0x7f, 3, 0x1f80]);
    expect(result.subarray(576).every((byte) => byte === 0)).toBe(true);
    expect(readXmm(result, 3)).toBe(0n);
  });

  it('keeps MXCSR that comes with AVX only', () => {
    const result = convertImage(patterned(layout7, 4n), layout7, layout7);
    expect(readU32(result, MXCSR)).toBe(0x1fa0);
    expect(xstateBv(result)).toBe(6n);
    expect(readXmm(result, 0)).toBe(0n);
  });

  it('drops PKRU that the target lacks and refuses other components', () => {
    expect(xstateBv(convertImage(patterned(intel, 0x207n), intel, layout7))).toBe(7n);
    const sse: XstateLayout = { xcr0: 3n, size: 576, components: [] };
    expect(() => convertImage(patterned(layout7, 7n), layout7, sse)).toThrow(/AVX/);
    expect(xstateBv(convertImage(patterned(layout7, 3n), layout7, sse))).toBe(3n);
    const odd: XstateLayout = { ...layout7, components: [{ ...avx, size: 128 }] };
    expect(() => convertImage(patterned(layout7, 7n), layout7, odd)).toThrow(/128 bytes/);
  });

  it('starts PKRU that the recording lacks as Linux does', () => {
    expect(readPkru(convertImage(patterned(layout7, 7n), layout7, intel), intel)).toBe(0x5555_5554);
  });

  it('takes FXSAVE images', () => {
    const result = convertImage(patterned(fxsave, 0n), fxsave, layout7);
    expect(xstateBv(result)).toBe(3n);
    expect(readXmm(result, 1)).toBe(readXmm(patterned(fxsave, 0n), 1));
    expect(convertImage(result, layout7, fxsave).length).toBe(512);
  });

  it('refuses corrupt images', () => {
    const corrupt = expect.objectContaining({ code: 'E_TRACE_CORRUPT' });
    expect(() => checkImage(new Uint8Array(831), layout7)).toThrow(corrupt);
    expect(() => checkImage(patterned(layout7, 0x207n), layout7)).toThrow(corrupt);
    const compacted = patterned(layout7, 7n);
    writeU64(compacted, 520, 1n << 63n);
    expect(() => convertImage(compacted, layout7, layout7)).toThrow(corrupt);
  });
});

describe('fields', () => {
  it('determines XINUSE by content', () => {
    const image = resetImage(intel);
    writeU64(image, 512, 0x207n);
    expect(xinuse(image, intel)).toBe(0x200n);
    image[160 + 255] = 1;
    expect(xinuse(image, intel)).toBe(0x202n);
    image[576] = 1;
    image[2] = 1;
    writeU32(image, 2688, 0);
    expect(xinuse(image, intel)).toBe(7n);
    writeU64(image, 512, 3n);
    expect(xinuse(image, intel)).toBe(3n);
  });

  it('counts MXCSR for XGETBV only', () => {
    const image = resetImage(layout7);
    writeU64(image, 512, 7n);
    writeU32(image, MXCSR, 0x1fa0);
    expect([xinuse(image, layout7), xgetbv1(image, layout7)]).toEqual([0n, 2n]);
  });

  it('reads vector registers and pointers', () => {
    const image = patterned(layout7, 7n);
    writeU64(image, 160 + 16, 0x1111_2222_3333_4444n);
    writeU64(image, 160 + 24, 5n);
    writeU64(image, 576 + 16, 6n);
    writeU64(image, 576 + 24, 7n);
    expect(readXmm(image, 1)).toBe((5n << 64n) | 0x1111_2222_3333_4444n);
    expect(readYmm(image, layout7, 1)).toBe((7n << 192n) | (6n << 128n) | readXmm(image, 1));
    expect(readPkru(image, layout7)).toBeUndefined();
    expect(readFip(image)).toBe(readU64(image, FIP));
    clearFipFdp(image);
    expect([readFip(image), readFdp(image)]).toEqual([0n, 0n]);
    expect(readU32(image, MXCSR)).toBe(0x1fa0);
  });
});
