/** How much is mapped at a page fault besides the page. */
import { PAGE_SIZE, type Gva } from '../base/address.js';
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
function pagesAround(vma: Vma, writing: boolean): number {
  if (!isSparse(vma)) return FAULT_AROUND_PAGES;
  return !writing && readsZeros(vma) ? ZEROS_AROUND_PAGES : SPARSE_FAULT_AROUND_PAGES;
}

/** As many pages at most are filled at one fault: those of one page table. */
const MOST_PAGES = 512;
/** A run is filled ahead by this part of it at most, so that what the program does not touch is little beside what it did. */
const AHEAD = 10;
/** Runs that are followed at the same time, as of several arrays. A power of two. */
const RUNS = 8;

/**
 * Programs that touch memory in ascending order: each fault is at the end of what the last one filled. Ever more is filled then,
 * as an exit costs more than a page.
 */
export class FaultRuns {
  private readonly ends = new Float64Array(RUNS).fill(-1);
  private readonly pages = new Float64Array(RUNS);
  private turn = 0;

  /** Of the last `window`: what is to be filled. */
  first = 0;
  last = 0;

  /** What to fill at a fault, as `first` and `last`: its surroundings, or what follows in a run that is long enough. */
  window(vma: Vma, gva: Gva, writing: boolean): this {
    const size = pagesAround(vma, writing) * PAGE_SIZE;
    const around = gva - (gva % size);
    const ahead = this.ahead(gva) * PAGE_SIZE;
    this.first = ahead > size ? gva : Math.max(vma.start, around);
    this.last = Math.min(vma.end, ahead > size ? gva + ahead : around + size);
    this.note(gva, this.last);
    return this;
  }

  /**
   * What to copy at a store to a page that others have, too, as `first` and `last`: the page, or what follows in a run
   * that is long enough. The caller says where the run ends, by `continueAt`.
   */
  following(vma: Vma, gva: Gva): this {
    this.first = gva;
    this.last = Math.min(vma.end, gva + Math.max(1, this.ahead(gva)) * PAGE_SIZE);
    this.note(gva, this.last);
    return this;
  }

  /** Every page can fault again: what was a run is none any more. */
  forget(): void {
    this.ends.fill(-1);
  }

  /** Nothing will fault from `last` to `end`: the run that was filled last goes on there. */
  continueAt(end: number): void {
    const index = this.ends.indexOf(this.last);
    if (index >= 0) this.ends[index] = end;
  }

  /** Pages to be filled from a fault on, if it continues a run that is long enough for any; else 0. */
  private ahead(gva: Gva): number {
    const index = this.ends.indexOf(gva);
    return index < 0 ? 0 : Math.min(MOST_PAGES, Math.floor(this.pages[index] / AHEAD));
  }

  /** The pages from a fault to `end` are filled. */
  private note(gva: Gva, end: number): void {
    let index = this.ends.indexOf(gva);
    if (index < 0) {
      index = this.turn = (this.turn + 1) & (RUNS - 1);
      this.pages[index] = 0;
    }
    this.ends[index] = end;
    this.pages[index] += (end - gva) / PAGE_SIZE;
  }
}
