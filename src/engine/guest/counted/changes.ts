import type * as Iced from 'iced-x86';
import type { Gva } from '../../base/address.js';
import type { Assembler } from './assembler.js';
import { appendCheck, appendComparison, appendRestored } from './check-code.js';
import { Fix, Leave } from './layout.js';
import { overlapPredicates, Stores, type StoreKind } from './stores.js';
import type { Watched } from './unit.js';

/** From where a change is found to where it is judged. */
interface ChangeSite {
  /** Where the displacements are. */
  readonly changed: readonly number[];
  readonly address: Gva;
  readonly fix: number;
  /** The copy goes on there. */
  readonly behind: number;
}

/** What a unit does for watched memory: behind each store it looks whether that has changed. */
export class ChangeSites {
  private readonly stores: Stores;
  private readonly sites: ChangeSite[] = [];

  /** @param area of the copies */
  constructor(
    private readonly code: Assembler,
    private readonly area: number,
    private readonly watched: Watched,
  ) {
    this.stores = new Stores(watched.pieces);
  }

  storesOf(instruction: Iced.Instruction): StoreKind {
    return this.stores.of(instruction);
  }

  /**
   * Behind a store.
   * @param address of the program's instruction that is next
   */
  compare(address: Gva, fix: number = Fix.none): void {
    const { code, area, watched } = this;
    const changed = appendComparison(code, area, address, watched.pieces, fix);
    this.sites.push({ changed, address, fix, behind: code.here });
  }

  /** Before a repeated string instruction: where it stores to watched memory it is executed one turn after the other. */
  stepIfOverlapping(instruction: Uint8Array, address: Gva): void {
    const predicates = overlapPredicates(instruction, this.watched.pieces);
    appendCheck(this.code, this.area, address, predicates, { leave: Leave.odd });
  }

  /** Appends what is executed where there is a change. */
  finish(): void {
    const { code, area, watched } = this;
    const { predicates, pieces } = watched;
    for (const { changed, address, fix, behind } of this.sites) {
      for (const at of changed) code.patchRelative(at, code.here);
      appendRestored(code, area, address, fix);
      appendCheck(code, area, address, predicates, { leave: Leave.watch, fix: fix | Fix.watch, pieces });
      code.mark(address, fix);
      code.emit([0xe9]); // jmp
      code.relative(behind);
    }
  }

  free(): void {
    this.stores.free();
  }
}
