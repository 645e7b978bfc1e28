import { PAGE_SIZE, hex, type Gva, gva as toGva } from '../base/address.js';
import type { Backing } from './backing.js';

/** Name of the mappings with rr's stubs. */
export const STUBS_NAME = '[stubs]';

/** Protection bits as in mmap(2). */
export const Prot = { none: 0, read: 1, write: 2, exec: 4 } as const;

/**
 * A mapping as the program requested it: a range of its address space, its protection and the
 * source of its pages. The page tables are derived from it and can be rebuilt at any time.
 *
 * Invariants: page-aligned, start < end; immutable except for `end`-preserving replacement by VmaSet.
 */
export interface Vma {
  readonly start: Gva;
  readonly end: Gva;
  readonly prot: number;
  /**
   * null: zeros. Stores to a SharedObject are visible in all its mappings; pages of the others are copied on write.
   */
  readonly backing: Backing | null;
  /** Byte offset in the backing that corresponds to `start`. */
  readonly offset: number;
  /** Recorded name: a path, `[stack]`, `[heap]`, or empty. */
  readonly name: string;
  /** For symbols: the mapped file, even if the pages came from the trace. */
  readonly file: MappedFile | null;
}

/** Identity of a mapped file and where in it the mapping starts; the trace's bytes of it if it has any. */
export interface MappedFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly offset: number;
}

export const isShared = (vma: Vma): boolean => vma.backing !== null && vma.backing.kind === 'shared';

/** Which page of its backing a VMA has at `gva`. Precondition: page-aligned. */
export const pageIndex = (vma: Vma, gva: Gva): number => (vma.offset + (gva - vma.start)) / PAGE_SIZE;

/** The part of `vma` inside [start, end), or null. Offsets follow. */
export function clip(vma: Vma, start: Gva, end: Gva): Vma | null {
  if (start <= vma.start && end >= vma.end) return vma;
  const from = toGva(Math.max(start, vma.start));
  const to = toGva(Math.min(end, vma.end));
  if (from >= to) return null;
  const shift = from - vma.start;
  const file = vma.file && shift !== 0 ? { ...vma.file, offset: vma.file.offset + shift } : vma.file;
  return { ...vma, start: from, end: to, offset: vma.offset + shift, file };
}

/** As in /proc/PID/maps: `7f00-7f01 r-xp name`. */
export function formatVma(vma: Vma): string {
  const bits =
    (vma.prot & Prot.read ? 'r' : '-') +
    (vma.prot & Prot.write ? 'w' : '-') +
    (vma.prot & Prot.exec ? 'x' : '-') +
    (isShared(vma) ? 's' : 'p');
  return `${hex(vma.start)}-${hex(vma.end)} ${bits} ${vma.name || '[anonymous]'}`;
}
