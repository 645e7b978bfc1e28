import { PAGE_SIZE, USER_END, gva } from '../../engine/base/address.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { Prot } from '../../engine/mm/vma.js';
import { E, fail } from './errno.js';
import { nameOf } from '../../engine/base/names.js';

const MAX_PATH = 4096;

/** A task's memory as a system call accesses it: with the program's own rights; throws EFAULT. */
export class UserMemory {
  constructor(private readonly space: AddressSpace) {}

  private check(at: number, size: number, access: number): void {
    if (at < 0 || at + size > USER_END || (size > 0 && !this.space.allows(gva(at), size, access)))
      fail(E.EFAULT);
  }

  bytes(at: number, size: number): Uint8Array {
    this.check(at, size, Prot.read);
    const bytes = new Uint8Array(size);
    if (this.space.read(gva(at), bytes) < size) fail(E.EFAULT);
    return bytes;
  }

  view(at: number, size: number): DataView {
    return new DataView(this.bytes(at, size).buffer);
  }

  write(at: number, bytes: Uint8Array): void {
    this.check(at, bytes.length, Prot.write);
    if (this.space.write(gva(at), bytes) < bytes.length) fail(E.EFAULT);
  }

  u32(at: number): number {
    return this.view(at, 4).getUint32(0, true);
  }

  u64(at: number): bigint {
    return this.view(at, 8).getBigUint64(0, true);
  }

  /** A pointer or size: exact below 2^53; larger ones are not user addresses. */
  word(at: number): number {
    return Number(this.u64(at));
  }

  setU32(at: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
    this.write(at, bytes);
  }

  setU64(at: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.write(at, bytes);
  }

  /** Consecutive 64-bit values. */
  setWords(at: number, values: readonly (number | bigint)[]): void {
    const bytes = new Uint8Array(8 * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, index) => view.setBigInt64(8 * index, BigInt(value), true));
    this.write(at, bytes);
  }

  /** A NUL-terminated string; ENAMETOOLONG where it is longer than a path may be. */
  string(at: number, limit = MAX_PATH): string {
    const parts: Uint8Array[] = [];
    let done = 0;
    for (let here = at; done < limit;) {
      const count = Math.min(PAGE_SIZE - (here % PAGE_SIZE), limit - done);
      const piece = this.bytes(here, count);
      const end = piece.indexOf(0);
      if (end >= 0) return nameOf(Buffer.concat([...parts, piece.subarray(0, end)]));
      parts.push(piece);
      done += count;
      here += count;
    }
    return fail(E.ENAMETOOLONG);
  }

  /** struct iovec: pairs of address and length. */
  vectors(at: number, count: number): { at: number; size: number }[] {
    if (count < 0 || count > 1024) fail(E.EINVAL);
    const view = this.view(at, 16 * count);
    return Array.from({ length: count }, (_, index) => ({
      at: Number(view.getBigUint64(16 * index, true)),
      size: Number(view.getBigUint64(16 * index + 8, true)),
    }));
  }
}
