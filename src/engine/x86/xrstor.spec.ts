import { describe, expect, it } from 'vitest';
import { composeXsavec } from './xsavec.js';
import {
  readFip,
  readPkru,
  readU32,
  readXmm,
  readYmm,
  resetImage,
  writeU32,
  writeU64,
  xstateBv,
} from './xstate-image.js';
import type { XstateLayout } from './xstate-layout.js';
import { COMPACTED } from './xstate-layout.js';
import { loadXrstor, xrstorFault } from './xrstor.js';

const avx = { bit: 2, offset: 576, size: 256, aligned: false };
const hardware: XstateLayout = {
  xcr0: 0x207n,
  size: 2696,
  components: [avx, { bit: 9, offset: 2688, size: 8, aligned: false }],
};
const recorded: XstateLayout = {
  xcr0: 0x207n,
  size: 840,
  components: [avx, { bit: 9, offset: 832, size: 8, aligned: false }],
};

function state(): Uint8Array {
  const image = resetImage(hardware, 7);
  image.fill(1, 32, 42);
  image.fill(0x22, 160, 416);
  image.fill(0x44, 576, 832);
  writeU32(image, 24, 0x1fa0);
  writeU64(image, 512, 0x207n);
  return image;
}

function area(present: bigint, compaction = 0n): Uint8Array {
  const bytes = new Uint8Array(840).fill(0x99, 0, 512);
  bytes.fill(0xaa, 576);
  writeU32(bytes, 24, 0x1f81);
  writeU64(bytes, 512, present);
  writeU64(bytes, 520, compaction);
  return bytes;
}

describe('loadXrstor', () => {
  it('undoes XSAVEC', () => {
    const before = state();
    const bytes = new Uint8Array(840);
    for (const chunk of composeXsavec(before, hardware, recorded, -1n)) bytes.set(chunk.bytes, chunk.offset);
    const after = loadXrstor(bytes, resetImage(hardware), hardware, recorded, -1n)!;
    expect(after).toEqual(before);
  });

  it('initialises requested and absent components, and keeps the rest', () => {
    const result = loadXrstor(area(4n, COMPACTED | 6n), state(), hardware, recorded, 6n)!;
    expect(readXmm(result, 0)).toBe(0n);
    expect(readYmm(result, hardware, 0) >> 128n).toBe(0xaaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaan);
    expect([readU32(result, 24), readPkru(result, hardware), result[32]]).toEqual([0x1f80, 7, 1]);
    expect(xstateBv(result)).toBe(0x205n);
  });

  it('loads MXCSR with AVX in the standard form only', () => {
    const mxcsr = (bytes: Uint8Array, mask: bigint): number =>
      readU32(loadXrstor(bytes, state(), hardware, recorded, mask)!, 24);
    expect(mxcsr(area(0n), 4n)).toBe(0x1f81);
    expect(mxcsr(area(0n), 1n)).toBe(0x1fa0);
    expect(mxcsr(area(4n, COMPACTED | 4n), 4n)).toBe(0x1fa0);
    expect(mxcsr(area(2n, COMPACTED | 2n), 2n)).toBe(0x1f81);
    expect(mxcsr(area(0n, COMPACTED | 2n), 2n)).toBe(0x1f80);
  });

  it('takes components from the recorded layout', () => {
    const result = loadXrstor(area(0x200n), state(), hardware, recorded, 0x200n)!;
    expect(readPkru(result, hardware)).toBe(0xaaaa_aaaa);
  });

  it('reads 32-bit pointers without REX.W', () => {
    expect(readFip(loadXrstor(area(1n), state(), hardware, recorded, 1n)!)).toBe(0x9999_9999_9999_9999n);
    const narrow = loadXrstor(area(1n), state(), hardware, recorded, 1n, { wide: false })!;
    expect(readFip(narrow)).toBe(0x9999_9999n);
  });

  it('needs the bytes of loaded components', () => {
    expect(loadXrstor(area(0x207n).subarray(0, 839), state(), hardware, recorded, -1n)).toBeNull();
    expect(loadXrstor(area(7n).subarray(0, 832), state(), hardware, recorded, -1n)).not.toBeNull();
    expect(loadXrstor(area(7n).subarray(0, 575), state(), hardware, recorded, -1n)).toBeNull();
  });
});

describe('xrstorFault', () => {
  const faultOf = (bytes: Uint8Array, mask = -1n, hasXsavec = true): string | null =>
    xrstorFault(bytes, recorded, mask, 0xffff, hasXsavec);

  it('accepts sound areas', () => {
    expect(faultOf(area(0x207n))).toBeNull();
    expect(faultOf(area(2n, COMPACTED | 7n))).toBeNull();
  });

  const reserved = area(2n);
  writeU32(reserved, 24, 0x8000_1f80);
  const cases: [string, Uint8Array][] = [
    ['XSTATE_BV has bits outside XCR0', area(8n)],
    ['the header has bytes set in 23:8', area(2n, 1n)],
    ['XCOMP_BV has bits outside XCR0', area(2n, COMPACTED | 0xfn)],
    ['XSTATE_BV has bits outside XCOMP_BV', area(6n, COMPACTED | 2n)],
    ['XSTATE_BV has bits outside XCOMP_BV', area(COMPACTED | 2n, COMPACTED | 2n)],
    ['MXCSR has reserved bits set', reserved],
  ];
  it.each(cases)('%s', (reason, bytes) => {
    expect(faultOf(bytes)).toBe(reason);
    expect(loadXrstor(bytes, state(), hardware, recorded, -1n, { mxcsrMask: 0xffff })).toBeNull();
  });

  it('ignores MXCSR if it is not loaded', () => {
    expect(faultOf(reserved, 1n)).toBeNull();
  });

  it('knows processors without XSAVEC', () => {
    expect(faultOf(area(2n, COMPACTED | 7n), -1n, false)).toMatch(/without XSAVEC/);
  });
});
