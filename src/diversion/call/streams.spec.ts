import { expect, it } from 'vitest';
import type { Gva } from '../../engine/base/address.js';
import { unwrittenFiles, type ReadBytes } from './streams.js';

const LIST = 0x1000 as Gva;
const MAGIC = 0xfbad2a84;

interface Made {
  flags?: number;
  text?: [number, number];
  wide?: [number, number];
  fd: number;
  lock?: number;
}

/** A process with these FILEs in a list, as in glibc; each 0x400 bytes after the other. */
function process(files: readonly Made[]): ReadBytes {
  const memory = new DataView(new ArrayBuffer(0x4000));
  const put = (at: number, value: number): void => memory.setBigUint64(at, BigInt(value), true);
  const place = (index: number): number => (index < files.length ? 0x2000 + 0x400 * index : 0);
  put(LIST, place(0));
  files.forEach(({ flags = MAGIC, text = [0, 0], wide, fd, lock = 0 }, index) => {
    const at = place(index);
    memory.setUint32(at, flags, true);
    put(at + 32, text[0]);
    put(at + 40, text[1]);
    put(at + 104, place(index + 1));
    memory.setInt32(at + 112, fd, true);
    put(at + 136, at + 0x200);
    memory.setUint32(at + 0x200, lock, true);
    put(at + 160, at + 0x300);
    memory.setInt32(at + 192, wide ? 1 : -1, true);
    put(at + 0x318, wide?.[0] ?? 0);
    put(at + 0x320, wide?.[1] ?? 0);
  });
  return (at, size) =>
    at + size <= memory.byteLength ? new Uint8Array(memory.buffer.slice(at, at + size)) : null;
}

it('finds the streams that have text, narrow or wide, and which are locked', () => {
  const read = process([
    { fd: 3 },
    { fd: 1, text: [0x100, 0x107] },
    { fd: 2, wide: [0x200, 0x220], text: [0x1, 0x9], lock: 1 },
    { fd: 5, text: [0x109, 0x107] },
  ]);
  expect(unwrittenFiles(read, LIST)).toEqual([
    { at: 0x2400, flush: 'fflush', fd: 1, start: 0x100, end: 0x107, width: 1, isLocked: false },
    { at: 0x2800, flush: 'fflush', fd: 2, start: 0x200, end: 0x220, width: 4, isLocked: true },
  ]);
});

it('reads no further than the list is one of FILEs', () => {
  const text: [number, number] = [0x100, 0x107];
  expect(unwrittenFiles(process([{ fd: 1, text, flags: 7 }]), LIST)).toEqual([]);
  expect(unwrittenFiles(process([]), LIST)).toEqual([]);
  expect(unwrittenFiles(() => null, LIST)).toEqual([]);
  const inCircle = process([{ fd: 1, text }]);
  const read: ReadBytes = (at, size) => {
    const bytes = inCircle(at, size);
    if (bytes && size === 216) new DataView(bytes.buffer).setBigUint64(104, 0x2000n, true);
    return bytes;
  };
  expect(unwrittenFiles(read, LIST).length).toBeLessThan(10_000);
});
