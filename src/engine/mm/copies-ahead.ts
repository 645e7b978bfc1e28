/** What becomes writable besides the page at a store to a page that others have, too. */
import { PAGE_SIZE, type Gpa, type Gva, gva as toGva } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import { Pte, type PageTables } from '../kvm/page-tables.js';
import { FaultRuns } from './fault-around.js';
import { isShared, Prot, type Vma } from './vma.js';

/** What one leaf table maps. */
const TABLE_BYTES = 512 * PAGE_SIZE;
const WRITABLE = Pte.present | Pte.writable;

/** The stores of one address space after forks and checkpoints: an exit costs more than a page. */
export class CopiesAhead {
  private readonly runs = new FaultRuns();

  /** @param install has an entry show a page, as the mapping allows; who changes entries has translations flushed */
  constructor(
    private readonly memory: GuestMemory,
    private readonly tables: PageTables,
    private readonly install: (entry: number, page: Gpa, vma: Vma) => void,
  ) {}

  /** Replaces the page of an entry, which others have, too, by a copy that only this entry has. */
  copy(entry: number, page: Gpa, vma: Vma): Gpa {
    const copy = this.memory.copy(page);
    this.memory.release(page);
    this.install(entry, copy, vma);
    return copy;
  }

  /** All pages of private mappings have become read-only: what was a run is none any more. */
  forget(): void {
    this.runs.forget();
  }

  /**
   * After a store to a page that was there and read-only, and is writable now: pages of its table that nobody else has
   * any more become writable, too, which costs no memory; pages that follow are copied where stores come in order. Not
   * code: stores to that are to be noticed, and only there does the processor see other pages than the program's.
   * @returns whether entries of other pages have changed
   */
  after(vma: Vma, gva: Gva): boolean {
    if (isShared(vma) || (vma.prot & Prot.exec) !== 0) return false;
    const { memory, tables } = this;
    const table = gva - (gva % TABLE_BYTES);
    let changed = false;
    const first = toGva(Math.max(vma.start, table));
    tables.walk(first, toGva(Math.min(vma.end, table + TABLE_BYTES)), (entry) => {
      if (!this.isReadOnly(entry) || memory.count(this.pageOf(entry)) !== 1) return;
      memory.words[entry] |= Pte.writable;
      changed = true;
    });
    const { last } = this.runs.following(vma, gva);
    tables.walk(toGva(gva + PAGE_SIZE), toGva(last), (entry) => {
      if (!this.isReadOnly(entry)) return;
      this.copy(entry, this.pageOf(entry), vma);
      changed = true;
    });
    let next = last;
    while (next < vma.end && this.isWritable(toGva(next))) next += PAGE_SIZE;
    this.runs.continueAt(next);
    return changed;
  }

  private pageOf(entry: number): Gpa {
    return this.tables.shown(entry) as number as Gpa;
  }

  private isReadOnly(entry: number): boolean {
    return (this.memory.words[entry] & WRITABLE) === Pte.present;
  }

  private isWritable(gva: Gva): boolean {
    const entry = this.tables.find(gva);
    return entry !== 0 && (this.memory.words[entry] & WRITABLE) === WRITABLE;
  }
}
