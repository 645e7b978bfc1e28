import { PAGE_SIZE, USER_END, pageCeil, pageFloor, type Gva, gva as toGva } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import type { AddressSpace } from './address-space.js';
import type { Vma } from './vma.js';

const ZEROS = new Uint8Array(PAGE_SIZE);

/**
 * Makes [start, start + size) read as zeros, whatever its protection. Costs only what was touched
 * there: pages that do not exist yet are zeros. Returns the number of bytes before an unmapped
 * page.
 */
export function zeroRange(space: AddressSpace, memory: GuestMemory, start: number, size: number): number {
  const end = Math.min(start + size, USER_END);
  let at = start;
  while (at < end) {
    const vma = space.vmas.find(toGva(at));
    if (!vma) break;
    const stop = Math.min(end, vma.end);
    for (const page of pagesWithBytes(space, vma, pageFloor(toGva(at)), pageCeil(toGva(stop))))
      zeroInPage(space, memory, Math.max(at, page), Math.min(stop, page + PAGE_SIZE));
    at = stop;
  }
  return at - start;
}

/** Pages of [start, end) in `vma` that may be non-zero. */
function pagesWithBytes(space: AddressSpace, vma: Vma, start: number, end: number): Gva[] {
  const pages: Gva[] = [];
  const { backing } = vma;
  if (backing === null) {
    space.visitResident(toGva(start), toGva(end), (gva) => pages.push(gva));
  } else if (backing.kind === 'shared') {
    const base = vma.start - vma.offset;
    for (const index of backing.indices((start - base) / PAGE_SIZE, (end - base) / PAGE_SIZE))
      pages.push(toGva(base + index * PAGE_SIZE));
  } else {
    for (let gva = start; gva < end; gva += PAGE_SIZE) pages.push(toGva(gva));
  }
  return pages;
}

function zeroInPage(space: AddressSpace, memory: GuestMemory, from: number, to: number): void {
  const inPage = from % PAGE_SIZE;
  const bytes = (page: number): Uint8Array => memory.bytes.subarray(page + inPage, page + inPage + to - from);
  if (Buffer.compare(bytes(space.pageForRead(toGva(from))), ZEROS.subarray(0, to - from)) === 0) return;
  bytes(space.pageForWrite(toGva(from))).fill(0);
}
