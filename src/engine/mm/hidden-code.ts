import { PAGE_SIZE, type Gpa, type Gva, offsetBy } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import type { ShownPage } from '../kvm/page-tables.js';
import {
  findSites,
  LEAD_BYTES,
  MAX_CHANGED_DISTANCE,
  mayHaveSites,
  type SoughtKinds,
  TAIL_BYTES,
} from '../x86/instruction-sites.js';
import { Originals } from './originals.js';

/** The second byte of UD2, 0F 0B, and no opcode of VEX: stored there it raises #UD at the instruction's first byte. */
const UD2 = 0x0b;

/** Reads original bytes from an address on; returns how many there are. */
export type CodeReader = (at: Gva, into: Uint8Array) => number;

/**
 * Copies of code pages in which instructions raise #UD that this processor would execute differently
 * than the recorded one: those of the XSAVE family, if area layouts differ; RDPKRU and WRPKRU where PKRU is kept beside
 * it; LZCNT and TZCNT where they would mean BSR and BSF; approximations where the recording's are another vendor's; RDPID in a
 * process of the host. The program executes the
 * copy; the engine reads and writes the original. The program's own reads see two changed bytes in
 * such an instruction.
 *
 * A page is scanned when it is first executed, and again after it was written: until then it is
 * mapped, but not executable; and executable pages are not writable.
 */
export class HiddenCode {
  /** Copy and original of the pages that have one, by address, each with a reference. */
  private readonly pages = new Map<Gva, { readonly copy: Gpa; readonly original: Gpa }>();
  private readonly window = new Uint8Array(LEAD_BYTES + PAGE_SIZE + TAIL_BYTES);

  constructor(
    private readonly memory: GuestMemory,
    readonly kinds: SoughtKinds,
  ) {
    const { lzcnt = false, tzcnt = false, approximations = false } = kinds;
    this.originals = lzcnt || tzcnt || approximations ? Originals.of(memory) : null;
  }

  /** The service completes instructions here, and has to find their bytes: see Originals. */
  readonly originals: Originals | null;

  /**
   * Whether a page of code is to be scanned before it is executed. Pages that are not writable and have no byte of an
   * approximation or of RDPID need not, if only those are sought. Code that a program writes into pages that stay executable is not
   * searched for them.
   */
  isHeld(page: Gpa, writable: boolean): boolean {
    const { xsave, cpuid, keys = false, lzcnt = false, tzcnt = false } = this.kinds;
    if (xsave || cpuid || keys || lzcnt || tzcnt) return true;
    return !writable && this.mayHaveSites(page);
  }

  /** The page that the program has where `shown` is in the page tables. */
  original(gva: Gva, shown: ShownPage): Gpa {
    const hidden = this.pages.size === 0 ? undefined : this.pages.get(gva);
    return hidden && (hidden.copy as number) === shown ? hidden.original : (shown as number as Gpa);
  }

  /** Shares `parent`'s copy at an address, with separate references; false if it has no copy there. */
  inherit(parent: HiddenCode, gva: Gva): boolean {
    const hidden = parent.pages.get(gva);
    if (hidden === undefined) return false;
    this.memory.retain(hidden.copy);
    this.memory.retain(hidden.original);
    this.pages.set(gva, hidden);
    return true;
  }

  /**
   * The page to execute at `gva`: `page` itself, or a copy. The entry's reference to `page` is transferred to the
   * copy's record.
   */
  executable(gva: Gva, page: Gpa, read: CodeReader): Gpa {
    const sites = this.sitesOf(gva, page, read);
    if (sites.length === 0) return page;
    const copy = this.memory.copy(page);
    for (const site of sites) this.memory.bytes[copy + site] = UD2;
    this.originals?.record(copy, page);
    this.pages.set(gva, { copy, original: page });
    return copy;
  }

  private mayHaveSites(page: Gpa): boolean {
    return mayHaveSites(this.memory.bytes, page, page + PAGE_SIZE, this.kinds);
  }

  /** Offsets in the page of the bytes to be changed. */
  private sitesOf(gva: Gva, page: Gpa, read: CodeReader): number[] {
    if (!this.mayHaveSites(page)) return [];
    const { window } = this;
    const before = Math.min(gva, LEAD_BYTES);
    const lead = read(offsetBy(gva, -before), window.subarray(0, before)) === before ? before : 0;
    window.set(this.memory.bytes.subarray(page, page + PAGE_SIZE), lead);
    const end = lead + PAGE_SIZE;
    const behind = read(offsetBy(gva, PAGE_SIZE), window.subarray(end));
    // An opcode that straddles two pages may be changed in the second.
    return findSites(
      window.subarray(0, end + behind),
      Math.max(0, lead - MAX_CHANGED_DISTANCE),
      end,
      this.kinds,
    )
      .map(({ changed }) => changed - lead)
      .filter((offset) => offset >= 0 && offset < PAGE_SIZE);
  }

  /** Drops the copy at `gva`; returns the original, whose reference is transferred to the caller's entry, or 0. */
  reveal(gva: Gva): Gpa {
    const hidden = this.pages.get(gva);
    if (hidden === undefined) return 0 as Gpa;
    this.pages.delete(gva);
    this.memory.release(hidden.copy);
    return hidden.original;
  }

  has(gva: Gva): boolean {
    return this.pages.has(gva);
  }

  /** Addresses with a copy in [start, end). */
  within(start: Gva, end: Gva): Gva[] {
    return [...this.pages.keys()].filter((gva) => gva >= start && gva < end);
  }
}
