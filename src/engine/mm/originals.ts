import { gva, type Gpa } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import { PageTables, Pte } from '../kvm/page-tables.js';

/**
 * Which page is behind a copy in which instructions are hidden, for the service, which executes them: page tables that
 * translate the copy's guest-physical address to the original's. An entry of the program's for a copy has `Pte.hides`;
 * only of those it is looked up, so what is recorded of pages that were freed does no harm.
 */
export class Originals {
  private static readonly known = new WeakMap<GuestMemory, Originals>();
  private readonly tables: PageTables;

  private constructor(memory: GuestMemory) {
    this.tables = new PageTables(memory, 0, 0);
  }

  /** Those of this memory: sessions over it share them. */
  static of(memory: GuestMemory): Originals {
    let originals = Originals.known.get(memory);
    if (!originals) Originals.known.set(memory, (originals = new Originals(memory)));
    return originals;
  }

  get root(): Gpa {
    return this.tables.root;
  }

  record(copy: Gpa, original: Gpa): void {
    const flags = Pte.present | Pte.user;
    this.tables.set(this.tables.findOrMake(gva(copy)), original, flags, true);
  }
}
