/** Where programs can map something: not where they have, and not where the machine itself is. */
import type { Gva } from '../base/address.js';
import type { VmaSet } from './vma-set.js';

export interface AddressRange {
  readonly start: Gva;
  readonly end: Gva;
}

/** What every address space has of the machine: the root entry of ring 0, and a range that is the machine's own. */
export interface KernelEntry {
  readonly low: number;
  readonly high: number;
  readonly reserved?: AddressRange | null;
}

/** As much of an address space as decides it. */
interface Space {
  readonly vmas: VmaSet;
  readonly kernel: KernelEntry;
}

/** Whether [start, end) touches what is the machine's own: programs cannot have anything there. */
export function isReserved({ kernel: { reserved } }: Space, start: Gva, end: Gva): boolean {
  return reserved ? start < reserved.end && end > reserved.start : false;
}

export const isFree = (space: Space, start: Gva, end: Gva): boolean =>
  !isReserved(space, start, end) && space.vmas.overlapping(start, end).length === 0;

/** Ranges that are not free, in order. */
export function takenRanges({ vmas, kernel: { reserved } }: Space): AddressRange[] {
  const taken: AddressRange[] = [...vmas];
  if (!reserved) return taken;
  const above = taken.findIndex(({ start }) => start >= reserved.end);
  taken.splice(above < 0 ? taken.length : above, 0, reserved);
  return taken;
}
