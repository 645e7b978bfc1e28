import { expect, it } from 'vitest';
import { encodeDescriptor, isLoadable, readUserDesc } from './descriptors.js';

it('encodes base, limit and attributes as the processor reads them', () => {
  const flat = { entry: 0, base: 0, limit: 0xfffff, flags: 0x51 }; // 32-bit, in pages, useable
  expect(encodeDescriptor(flat, 'ldt')).toEqual([0x0000_ffff, 0x00df_f300]);
  const small = { entry: 2, base: 0x1234_5678, limit: 0xa_bcde, flags: 1 };
  expect(encodeDescriptor(small, 'ldt')).toEqual([0x5678_bcde, 0x124a_f334]);
});

it('encodes code, read-only data and absent segments', () => {
  const [, code] = encodeDescriptor({ entry: 0, base: 1, limit: 1, flags: 1 | (2 << 1) }, 'ldt');
  expect((code >>> 8) & 0xff).toBe(0xfb);
  const [, executeOnly] = encodeDescriptor({ entry: 0, base: 1, limit: 1, flags: 1 | (2 << 1) | 8 }, 'ldt');
  expect((executeOnly >>> 8) & 0xff).toBe(0xf9);
  expect(isLoadable([0, code])).toBe(true);
  expect(isLoadable([0, executeOnly])).toBe(false);
  expect(isLoadable(encodeDescriptor({ entry: 0, base: 1, limit: 1, flags: 1 | 32 }, 'ldt'))).toBe(false);
});

it('takes the two ways of saying none, and an all-zero one', () => {
  expect(encodeDescriptor({ entry: 1, base: 0, limit: 0, flags: 8 | 32 }, 'ldt')).toEqual([0, 0]);
  expect(encodeDescriptor({ entry: 1, base: 0, limit: 0, flags: 0 }, 'tls')).toEqual([0, 0]);
  expect(encodeDescriptor({ entry: 1, base: 0, limit: 0, flags: 1 }, 'oldLdt')).toEqual([0, 0]);
  expect(encodeDescriptor({ entry: 1, base: 0, limit: 0, flags: 0 }, 'ldt')[1]).not.toBe(0);
});

it('reads a user_desc', () => {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(0, 3, true);
  new DataView(bytes.buffer).setUint32(4, 0xdead_0000, true);
  new DataView(bytes.buffer).setUint32(8, 15, true);
  new DataView(bytes.buffer).setUint32(12, 0x41, true);
  expect(readUserDesc(bytes)).toEqual({ entry: 3, base: 0xdead_0000, limit: 15, flags: 0x41 });
});
