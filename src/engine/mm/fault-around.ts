/** How much is mapped at a page fault besides the page. */
import { Prot, type Vma } from './vma.js';

/** Pages made resident around a fault: an exit costs more than filling neighbours. */
const FAULT_AROUND_PAGES = 16;
/** Mappings above this size are sparse more often than not: fill less around each fault. */
const SPARSE_BYTES = 64 * 2 ** 20;
const SPARSE_FAULT_AROUND_PAGES = 2;
/** Pages of zeros, all of them the same one. */
const ZEROS_AROUND_PAGES = 64;

const isSparse = (vma: Vma): boolean => vma.end - vma.start > SPARSE_BYTES;

/**
 * Pages that are read before they are written use the shared zero page, as in Linux. Elsewhere saving a fault is worth
 * more.
 */
export const readsZeros = (vma: Vma): boolean =>
  vma.backing === null && isSparse(vma) && (vma.prot & Prot.exec) === 0;

/** The size of the window around a fault that is filled; it is aligned to its size. */
export function pagesAround(vma: Vma, writing: boolean): number {
  if (!isSparse(vma)) return FAULT_AROUND_PAGES;
  return !writing && readsZeros(vma) ? ZEROS_AROUND_PAGES : SPARSE_FAULT_AROUND_PAGES;
}
