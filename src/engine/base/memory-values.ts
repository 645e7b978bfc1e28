/** Words and texts in a program's memory, over any reader. Pure. */
import { USER_END, type Gva } from './address.js';

/** Reads from an address on; returns how many bytes could be read. */
export type ReadBytes = (address: number, into: Uint8Array) => number;

/** Reads a task's memory. Addresses may be any numbers: outside of user space nothing is read. */
export const memoryOf =
  (target: { readMemory(tid: number, start: Gva, into: Uint8Array): number }, tid: number): ReadBytes =>
  (address, into) =>
    Number.isInteger(address) && address >= 0 && address < USER_END
      ? target.readMemory(tid, address as Gva, into)
      : 0;

/** Bytes from an address on, as a view; null: not all of them can be read. */
export function readView(read: ReadBytes, address: number, size: number): DataView | null {
  const bytes = new Uint8Array(size);
  return read(address, bytes) < size ? null : new DataView(bytes.buffer);
}

/** An unsigned 64-bit number; null: it cannot be read. */
export const readWord = (read: ReadBytes, address: number): bigint | null =>
  readView(read, address, 8)?.getBigUint64(0, true) ?? null;

export interface MemoryText {
  readonly bytes: Uint8Array;
  /** `nul`: it ends there. `limit`: it is longer. `unreadable`: the memory ends before it does. */
  readonly end: 'nul' | 'limit' | 'unreadable';
}

const CHUNK = 256;

/** The text from an address to its NUL, at most so many bytes. */
export function readText(read: ReadBytes, address: number, limit: number): MemoryText {
  const parts: Uint8Array[] = [];
  const textTo = (end: MemoryText['end']): MemoryText => ({ bytes: Buffer.concat(parts), end });
  for (let done = 0; done < limit; done += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, limit - done));
    const count = read(address + done, chunk);
    const nul = chunk.subarray(0, count).indexOf(0);
    parts.push(chunk.subarray(0, nul < 0 ? count : nul));
    if (nul >= 0) return textTo('nul');
    if (count < chunk.length) return textTo('unreadable');
  }
  return textTo('limit');
}
