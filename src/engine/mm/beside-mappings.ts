import type { Gpa, Gva } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import { Pte, type PageTables } from '../kvm/page-tables.js';
import type { StalePages } from './stale-pages.js';

/** Who has the program execute copies of its code, which lie in the same page tables outside of all mappings. */
export interface CodeKeeper {
  /**
   * Something of [start, end) is about to be written, mapped, unmapped or protected: copies of code there are out of date,
   * and copies that lie there must go.
   */
  changes(start: Gva, end: Gva): void;
}

/** Pages that the processor sees where a program has mapped nothing: only who put them there knows of them. */
export class BesideMappings {
  /** @param space its translations are out of date where an entry changes */
  constructor(
    private readonly space: { readonly stale: StalePages },
    private readonly memory: GuestMemory,
    private readonly tables: PageTables,
  ) {}

  /** Shows a page, instead of what was shown there before. Its count goes over to the entry. */
  show(gva: Gva, page: Gpa, access: { readonly writable: boolean; readonly executable: boolean }): void {
    const entry = this.tables.findOrMake(gva);
    if (!this.tables.isEmpty(entry)) {
      this.memory.release(this.tables.shown(entry) as number as Gpa);
      this.space.stale.add(gva);
    }
    if (access.executable) this.memory.markCode(page);
    const flags = Pte.present | Pte.user | Pte.accessed | Pte.dirty;
    this.tables.set(entry, page, access.writable ? flags | Pte.writable : flags, !access.executable);
  }

  /** Takes away what `show` put into [start, end). */
  remove(start: Gva, end: Gva): void {
    this.tables.walk(start, end, (entry) => {
      this.memory.release(this.tables.shown(entry) as number as Gpa);
      this.tables.clear(entry);
    });
    this.space.stale.addAll();
  }
}
