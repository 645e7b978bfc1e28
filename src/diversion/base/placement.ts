import { PAGE_SIZE, USER_END, gva, type Gva } from '../../engine/base/address.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { takenRanges } from '../../engine/mm/free.js';

/** vm.mmap_min_addr. */
const LOWEST = 0x1_0000;
/** What the kernel keeps below the stack at least for it to grow (mmap_base: MIN_GAP is 128 MiB). */
const STACK_GAP = 128 << 20;
/** Below the highest user address if there is no stack. */
const DEFAULT_BASE = USER_END - 2 ** 32;

interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * The highest free range of `size` bytes below `base`, as by the kernel's top-down search; null: none.
 * @param mapped in order
 */
export function gapBelow(mapped: readonly Range[], base: number, size: number): number | null {
  let top = base;
  for (let index = mapped.length - 1; index >= 0; index--) {
    const { start, end } = mapped[index];
    if (start >= base) continue;
    if (top - end >= size) return top - size;
    top = Math.min(top, start);
  }
  return top - size >= LOWEST ? top - size : null;
}

/** Where mmap without an address puts `size` bytes; null: there is no room. */
export function findGap(space: AddressSpace, size: number): Gva | null {
  const taken = takenRanges(space);
  const base = baseOf([...space.vmas]);
  const start = gapBelow(taken, base, size) ?? gapBelow(taken, USER_END - PAGE_SIZE, size);
  return start === null ? null : gva(start);
}

/** mmap_base is not known: it is above everything that was mapped below the stack's gap. */
function baseOf(mapped: readonly (Range & { name: string })[]): number {
  const stack = mapped.find(({ name }) => name === '[stack]');
  if (!stack) return DEFAULT_BASE;
  const limit = stack.end - STACK_GAP;
  let base = 0;
  for (const { end } of mapped) if (end <= limit) base = end;
  return base === 0 ? limit : base;
}
