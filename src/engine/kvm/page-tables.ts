import { PAGE_SIZE, type Gpa, type Gva, gva as toGva } from '../base/address.js';
import type { GuestMemory } from './guest-memory.js';

/**
 * Bits of a page-table entry, low word (SDM vol. 3, 4.5.4, table 4-20). Bits of the high word: NX is
 * bit 31 (63 of the entry).
 *
 *    63  62..52  51..............12  11..9  8  7  6  5  4   3   2   1   0
 *    NX  ignored physical address    AVL    G PAT D  A PCD PWT U/S R/W P
 *
 * An entry with P clear and RESIDENT (an AVL bit) set keeps a page that the program may not access
 * (PROT_NONE): the processor ignores every other bit of an entry that is not present.
 */
export const Pte = {
  present: 1 << 0,
  writable: 1 << 1,
  user: 1 << 2,
  accessed: 1 << 5,
  dirty: 1 << 6,
  resident: 1 << 9,
  /** Of a copy in which instructions are hidden that the service completes: mm/originals.ts. */
  hides: 1 << 10,
} as const;

/** NX in the high word. */
export const PTE_NX_HIGH = 0x8000_0000;

const ADDRESS_HIGH = 0x000f_ffff;
const TWO_32 = 0x1_0000_0000;
const TABLE_ENTRIES = 512;
const SPAN_1 = PAGE_SIZE * TABLE_ENTRIES;
const SPAN_2 = SPAN_1 * TABLE_ENTRIES;
const SPAN_3 = SPAN_2 * TABLE_ENTRIES;
const TABLE_FLAGS = Pte.present | Pte.writable | Pte.user | Pte.accessed;
const KERNEL_SLOT = 511;
const USER_SLOTS = 256;

/**
 * The pool's guest-physical address, a multiple of 4 GiB, in units of that; from the high word of an entry that refers to ring 0,
 * which is at the pool's beginning.
 */
export const poolHighWord = (kernelHigh: number): number => kernelHigh & ADDRESS_HIGH;

declare const shownBrand: unique symbol;

/**
 * The page that an entry shows the processor. Not a `Gpa`: where code is hidden it is a copy with other bytes, and what the
 * program has there is for the address space to say.
 */
export type ShownPage = number & { readonly [shownBrand]: true };

/** A visitor of `walk` gets the index of the entry's low word in `memory.words`. */
export type EntryVisitor = (entry: number, gva: Gva) => void;

/**
 * One tree of four-level page tables in the guest-physical pool, the lower half for the program, slot
 * 511 for ring 0. Handles only entries: policy is the address space's.
 *
 * Entries are addressed by the index of their low word in `memory.words`; 0 means "none" (the pool's
 * first words are never a page table).
 */
export class PageTables {
  readonly root: Gpa;
  /** Cache of the last leaf table found: faults and copies are often consecutive. */
  private cachedSpan = -1;
  private cachedTable = 0;
  /** Pages that the tables take. */
  size = 1;

  /** The pool's guest-physical address, as the high word that every entry has of it. */
  private readonly poolHigh: number;

  /** @param kernelLow,kernelHigh the root entry of slot 511, the same in every tree */
  constructor(
    private readonly memory: GuestMemory,
    kernelLow: number,
    kernelHigh: number,
  ) {
    this.root = memory.allocate();
    this.poolHigh = poolHighWord(kernelHigh);
    const entry = this.root / 4 + KERNEL_SLOT * 2;
    memory.words[entry] = kernelLow;
    memory.words[entry + 1] = kernelHigh;
  }

  /** Index of the leaf entry of `gva`, or 0 when its table does not exist. */
  find(gva: Gva): number {
    const table = this.leafTable(gva, false);
    return table === 0 ? 0 : table + (Math.floor(gva / PAGE_SIZE) % TABLE_ENTRIES) * 2;
  }

  /** Index of the leaf entry of `gva`; allocates missing tables. Throws E_MEMORY_LIMIT. */
  findOrMake(gva: Gva): number {
    return this.leafTable(gva, true) + (Math.floor(gva / PAGE_SIZE) % TABLE_ENTRIES) * 2;
  }

  /** The page of an entry, resident or present. */
  shown(entry: number): ShownPage {
    return this.address(entry) as ShownPage;
  }

  isEmpty(entry: number): boolean {
    return this.memory.words[entry] === 0;
  }

  isPresent(entry: number): boolean {
    return (this.memory.words[entry] & Pte.present) !== 0;
  }

  /** Stores page and flags; `flags` may leave out `present` for a resident page. */
  set(entry: number, page: Gpa | ShownPage, flags: number, noExecute: boolean): void {
    const words = this.memory.words;
    words[entry + 1] = ((this.poolHigh + Math.floor(page / TWO_32)) | (noExecute ? PTE_NX_HIGH : 0)) >>> 0;
    words[entry] = ((page % TWO_32) | flags) >>> 0;
  }

  /** Shows the processor another page, read-only, with all other flags kept. */
  showReadOnly(entry: number, page: Gpa | ShownPage): void {
    const words = this.memory.words;
    words[entry] = ((page % TWO_32) | (words[entry] & 0xfff & ~Pte.writable)) >>> 0;
    words[entry + 1] =
      ((words[entry + 1] & ~ADDRESS_HIGH) | (this.poolHigh + Math.floor(page / TWO_32))) >>> 0;
  }

  clear(entry: number): void {
    this.memory.words[entry] = 0;
    this.memory.words[entry + 1] = 0;
  }

  /** Visits every non-empty leaf entry of [start, end), skipping tables that do not exist. */
  walk(start: Gva, end: Gva, visit: EntryVisitor): void {
    const words = this.memory.words;
    for (let gva = start as number; gva < end;) {
      const table = this.leafTable(toGva(gva), false);
      const next = Math.min(end, (Math.floor(gva / SPAN_1) + 1) * SPAN_1);
      if (table === 0) {
        gva = this.skip(gva);
        continue;
      }
      for (
        let entry = table + (Math.floor(gva / PAGE_SIZE) % TABLE_ENTRIES) * 2;
        gva < next;
        gva += PAGE_SIZE, entry += 2
      ) {
        if (words[entry] !== 0) visit(entry, toGva(gva));
      }
    }
  }

  /** Frees the tables. Precondition: every leaf page was released (or is to be dropped). */
  destroy(): void {
    this.freeTable(this.root, 3);
    this.cachedSpan = -1;
  }

  private address(entry: number): number {
    const words = this.memory.words;
    return ((words[entry] & ~0xfff) >>> 0) + ((words[entry + 1] & ADDRESS_HIGH) - this.poolHigh) * TWO_32;
  }

  private leafTable(gva: Gva, make: boolean): number {
    const span = Math.floor(gva / SPAN_1);
    if (span === this.cachedSpan) return this.cachedTable;
    let table = this.root / 4;
    let size = SPAN_3;
    for (let level = 3; level > 0; level--, size /= TABLE_ENTRIES) {
      const entry = table + (Math.floor(gva / size) % TABLE_ENTRIES) * 2;
      if (this.memory.words[entry] === 0) {
        if (!make) return 0;
        this.set(entry, this.memory.allocate(), TABLE_FLAGS, false);
        this.size++;
      }
      table = this.address(entry) / 4;
    }
    this.cachedSpan = span;
    this.cachedTable = table;
    return table;
  }

  /** End of the smallest missing table's span around `gva`. Precondition: its leaf table is missing. */
  private skip(gva: number): number {
    let table = this.root / 4;
    let size = SPAN_3;
    for (;;) {
      const entry = table + (Math.floor(gva / size) % TABLE_ENTRIES) * 2;
      if (this.memory.words[entry] === 0) return (Math.floor(gva / size) + 1) * size;
      table = this.address(entry) / 4;
      size /= TABLE_ENTRIES;
    }
  }

  private freeTable(table: Gpa, level: number): void {
    const slots = level === 3 ? USER_SLOTS : TABLE_ENTRIES;
    if (level > 0) {
      for (let slot = 0; slot < slots; slot++) {
        const entry = table / 4 + slot * 2;
        if (this.memory.words[entry] !== 0) this.freeTable(this.address(entry) as Gpa, level - 1);
      }
    }
    this.memory.release(table);
  }
}
