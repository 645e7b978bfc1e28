import { expect, it } from 'vitest';
import { readText, readView, readWord, type ReadBytes } from './memory-values.js';

/** Memory that holds these bytes from 0x1000 on, and nothing elsewhere. */
function memory(bytes: Uint8Array): ReadBytes {
  return (address, into) => {
    const from = address - 0x1000;
    if (from < 0 || from >= bytes.length) return 0;
    const part = bytes.subarray(from, from + into.length);
    into.set(part);
    return part.length;
  };
}

it('reads words that are there as a whole', () => {
  const read = memory(Uint8Array.of(1, 2, 0, 0, 0, 0, 0, 0x80, 9));
  expect(readWord(read, 0x1000)).toBe(0x8000_0000_0000_0201n);
  expect(readWord(read, 0x1002)).toBeNull();
  expect(readView(read, 0x1008, 1)?.getUint8(0)).toBe(9);
  expect(readView(read, 0x2000, 1)).toBeNull();
});

it('reads a text to its end, to the limit or to the end of memory', () => {
  const text = (length: number): Uint8Array => Buffer.from('a'.repeat(length));
  const read = memory(Buffer.concat([text(600), Uint8Array.of(0), text(10)]));
  expect(readText(read, 0x1000, 1000)).toMatchObject({ bytes: text(600), end: 'nul' });
  expect(readText(read, 0x1000, 300)).toMatchObject({ bytes: text(300), end: 'limit' });
  expect(readText(read, 0x1000 + 601, 1000)).toMatchObject({ bytes: text(10), end: 'unreadable' });
  expect(readText(read, 0, 1000)).toMatchObject({ bytes: text(0), end: 'unreadable' });
});
