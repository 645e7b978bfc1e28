import { describe, expect, it } from 'vitest';
import { composeXsave, composeXsavec, composeXsaveopt } from './xsavec.js';
import { AMD, EMULATOR } from './xsave-traits.js';
import { readU64, resetImage, writeU32, writeU64 } from './xstate-image.js';
import type { XstateLayout } from './xstate-layout.js';

const avx = { bit: 2, offset: 576, size: 256, aligned: false };
const hardware: XstateLayout = {
  xcr0: 0x207n,
  size: 2696,
  components: [avx, { bit: 9, offset: 2688, size: 8, aligned: false }],
};
/** The same components, PKRU elsewhere. */
const recorded: XstateLayout = {
  xcr0: 0x207n,
  size: 840,
  components: [avx, { bit: 9, offset: 832, size: 8, aligned: false }],
};
/** What glibc's lazy resolver asks for: everything that passes arguments, not x87. */
const RESOLVER = 0xeen;

function stateWith(present: bigint): Uint8Array {
  const state = resetImage(hardware, 0);
  if (present & 1n) state[ST0_BYTE] = 1;
  if (present & 2n) state[160] = 2;
  if (present & 4n) state[576] = 4;
  if (present & 0x200n) writeU32(state, 2688, 0x5555_5554);
  writeU64(state, 512, 0x207n);
  return state;
}
const ST0_BYTE = 40;

const ranges = (chunks: { offset: number; bytes: Uint8Array }[]): [number, number][] =>
  chunks.map(({ offset, bytes }) => [offset, offset + bytes.length]);

describe('composeXsavec', () => {
  it('writes only the header when nothing is in use', () => {
    const chunks = composeXsavec(stateWith(0n), hardware, recorded, RESOLVER);
    expect(ranges(chunks)).toEqual([[512, 528]]);
    expect([readU64(chunks[0].bytes, 0), readU64(chunks[0].bytes, 8)]).toEqual([0n, (1n << 63n) | 6n]);
  });

  it('writes components in use, packed', () => {
    expect(ranges(composeXsavec(stateWith(0x207n), hardware, recorded, -1n))).toEqual([
      [0, 24],
      [24, 32],
      [32, 160],
      [160, 416],
      [512, 528],
      [576, 832],
      [832, 840],
    ]);
    expect(ranges(composeXsavec(stateWith(0x207n), hardware, recorded, 0x200n))).toEqual([
      [512, 528],
      [576, 584],
    ]);
  });

  it('saves SSE for the sake of MXCSR, but not AVX', () => {
    const state = stateWith(0n);
    writeU32(state, 24, 0x1fa0);
    const chunks = composeXsavec(state, hardware, recorded, 6n, { mxcsrMask: 0x2ffff });
    expect(ranges(chunks)).toEqual([
      [24, 32],
      [160, 416],
      [512, 528],
    ]);
    expect(readU64(chunks[0].bytes, 0)).toBe(0x2ffff_0000_1fa0n);
    expect(readU64(chunks[2].bytes, 0)).toBe(2n);
    expect(ranges(composeXsavec(state, hardware, recorded, 4n))).toEqual([[512, 528]]);
  });

  it('has nothing of a component outside the recorded XCR0', () => {
    const chunks = composeXsavec(stateWith(0x207n), hardware, { xcr0: 3n, size: 576, components: [] }, -1n);
    expect(ranges(chunks).at(-1)).toEqual([512, 528]);
    expect(readU64(chunks.at(-1)!.bytes, 8)).toBe((1n << 63n) | 3n);
  });
});

describe('composeXsave', () => {
  it('writes initial values, and moves components to the recorded layout', () => {
    const chunks = composeXsave(stateWith(0x200n), hardware, recorded, -1n, 0n);
    expect(ranges(chunks)).toEqual([
      [0, 24],
      [24, 32],
      [32, 160],
      [160, 416],
      [512, 520],
      [576, 832],
      [832, 840],
    ]);
    expect([chunks[0].bytes[0], chunks[0].bytes[1]]).toEqual([0x7f, 3]);
    expect(readU64(chunks[4].bytes, 0)).toBe(0x200n);
    expect(readU64(chunks[6].bytes, 0)).toBe(0x5555_5554n);
  });

  it('keeps XSTATE_BV bits that are not requested', () => {
    const header = composeXsave(stateWith(2n), hardware, recorded, 2n, 0x205n).at(-1)!;
    expect(readU64(header.bytes, 0)).toBe(0x207n);
    const cleared = composeXsave(stateWith(0n), hardware, recorded, 2n, 0x207n).at(-1)!;
    expect(readU64(cleared.bytes, 0)).toBe(0x205n);
  });

  it('writes 32-bit pointers without REX.W, and none without a pending exception on AMD', () => {
    const state = stateWith(1n);
    state.fill(0xff, 6, 24);
    const pointers = (rules: object): bigint[] => {
      const [{ bytes }] = composeXsave(state, hardware, recorded, 1n, 0n, rules);
      return [readU64(bytes, 8), readU64(bytes, 16)];
    };
    expect(pointers({})).toEqual([0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]);
    expect(pointers({ wide: false })).toEqual([0xffff_ffffn, 0xffff_ffffn]);
    expect(pointers({ pointersOnlyOnError: true })).toEqual([0n, 0n]);
    state[2] = 0x80;
    expect(pointers({ pointersOnlyOnError: true })[0]).toBe(0xffff_ffff_ffff_ffffn);
  });
});

describe('implementation-defined behaviour', () => {
  const inUse = stateWith(0x207n);
  const last = (chunks: { offset: number; bytes: Uint8Array }[]): [number, number] => ranges(chunks).at(-1)!;

  it('stores four bytes of PKRU on AMD, eight elsewhere', () => {
    for (const [rules, end] of [
      [AMD, 836],
      [{}, 840],
      [EMULATOR, 840],
    ] as const) {
      expect(last(composeXsave(inUse, hardware, recorded, -1n, 0n, rules))).toEqual([832, end]);
      expect(last(composeXsave(stateWith(0n), hardware, recorded, -1n, 0n, rules))).toEqual([832, end]);
      expect(last(composeXsaveopt(inUse, hardware, recorded, -1n, 0n, rules))).toEqual([832, end]);
      expect(last(composeXsavec(inUse, hardware, recorded, -1n, rules))).toEqual([832, end]);
    }
  });

  it('excludes bytes after PKRU in the state from areas and XINUSE', () => {
    const state = stateWith(0n);
    state.fill(0xa5, 2692, 2696);
    const chunks = composeXsave(state, hardware, recorded, -1n, 0n);
    expect(readU64(chunks.at(-1)!.bytes, 0)).toBe(0n);
    expect(readU64(chunks.at(-3)!.bytes, 0)).toBe(0n);
  });

  it('leaves gaps of x87, MXCSR and unused components as the emulator does', () => {
    const chunks = composeXsaveopt(stateWith(0n), hardware, recorded, 5n, 0n, EMULATOR);
    const registers = Array.from({ length: 8 }, (_, i) => [32 + 16 * i, 42 + 16 * i]);
    expect(ranges(chunks)).toEqual([[0, 6], [8, 24], ...registers, [512, 520], [576, 832]]);
    expect(readU64(chunks.at(-2)!.bytes, 0)).toBe(5n);
  });
});

describe('composeXsaveopt', () => {
  it('skips components in their initial state, except MXCSR', () => {
    expect(ranges(composeXsaveopt(stateWith(2n), hardware, recorded, -1n, 0n))).toEqual([
      [24, 32],
      [160, 416],
      [512, 520],
    ]);
    expect(ranges(composeXsaveopt(stateWith(0n), hardware, recorded, 4n, 0n))).toEqual([
      [24, 32],
      [512, 520],
    ]);
  });
});
