import type { Gva } from '../base/address.js';
import { clip, type Vma } from './vma.js';

/**
 * The VMAs of one address space, sorted by start. Pure: no pages, no tables.
 *
 * Invariant: ranges do not overlap.
 */
export class VmaSet {
  private list: Vma[] = [];

  get size(): number {
    return this.list.length;
  }

  [Symbol.iterator](): IterableIterator<Vma> {
    return this.list[Symbol.iterator]();
  }

  /** The VMA that contains `gva`, or null. */
  find(gva: Gva): Vma | null {
    const vma = this.list[this.firstEndingAfter(gva)];
    return vma !== undefined && vma.start <= gva ? vma : null;
  }

  /** The first VMA that ends after `gva`: the one that contains it or else the next above it, or null. */
  findAtOrAbove(gva: Gva): Vma | null {
    return this.list[this.firstEndingAfter(gva)] ?? null;
  }

  /** The VMAs that intersect [start, end), whole, in order. */
  overlapping(start: Gva, end: Gva): Vma[] {
    const first = this.firstEndingAfter(start);
    let last = first;
    while (last < this.list.length && this.list[last].start < end) last++;
    return this.list.slice(first, last);
  }

  /** Removes [start, end), splitting VMAs at its borders; returns the removed parts. */
  remove(start: Gva, end: Gva): Vma[] {
    const removed: Vma[] = [];
    this.replace(start, end, (part) => {
      removed.push(part);
      return null;
    });
    return removed;
  }

  /** Adds a VMA. Precondition: its range is free. */
  insert(vma: Vma): void {
    this.list.splice(this.firstEndingAfter(vma.start), 0, vma);
  }

  /** Replaces the part of each VMA inside [start, end) by what `change` makes of it (null removes it). */
  replace(start: Gva, end: Gva, change: (part: Vma) => Vma | null): void {
    const first = this.firstEndingAfter(start);
    let last = first;
    const parts: Vma[] = [];
    const add = (vma: Vma | null): void => {
      if (vma) parts.push(vma);
    };
    for (; last < this.list.length && this.list[last].start < end; last++) {
      const vma = this.list[last];
      if (vma.start < start) add(clip(vma, vma.start, start));
      const inside = clip(vma, start, end);
      if (inside) add(change(inside));
      if (vma.end > end) add(clip(vma, end, vma.end));
    }
    if (last > first) this.list.splice(first, last - first, ...parts);
  }

  clone(): VmaSet {
    const copy = new VmaSet();
    copy.list = this.list.slice();
    return copy;
  }

  /** Index of the first VMA whose end is above `gva`. */
  private firstEndingAfter(gva: number): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle].end > gva) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
