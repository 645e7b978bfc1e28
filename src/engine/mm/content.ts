import { PAGE_SIZE, type Gpa, type Gva, gva as toGva } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import { SharedObject } from './backing.js';
import type { AddressSpace } from './address-space.js';
import { isShared, type Vma } from './vma.js';

const ZEROS = new Uint8Array(PAGE_SIZE);

/** The addresses in a shared mapping for which its object has pages; the rest is zero. */
function pagesOf({ start, end, offset, backing }: Vma): Gva[] {
  if (!(backing instanceof SharedObject)) return [];
  const base = start - offset;
  return backing
    .indices(offset / PAGE_SIZE, (end - base) / PAGE_SIZE)
    .map((index) => toGva(base + index * PAGE_SIZE));
}

/** What a program would read in address spaces, without touching their pages. */
export class Content {
  constructor(private readonly memory: GuestMemory) {}

  /**
   * Whether both have the same mappings and the same bytes for a program.
   * @param except a page that is not compared
   */
  isSame(a: AddressSpace, b: AddressSpace, except: Gva | null): boolean {
    const theirs = [...b.vmas];
    let index = 0;
    for (const { start, end, prot } of a.vmas) {
      const their = theirs[index++];
      if (their?.start !== start || their.end !== end || their.prot !== prot) return false;
    }
    return index === theirs.length && this.isIn(a, b, except) && this.isIn(b, a, except);
  }

  /** Visits, in order, the pages whose bytes differ from those of an untouched mapping. */
  visitChanged(space: AddressSpace, visit: (gva: Gva, bytes: Uint8Array) => void): void {
    for (const vma of space.vmas) {
      const look = (gva: Gva): void => {
        const bytes = this.at(space, gva);
        const fresh = isShared(vma) ? ZEROS : this.untouched(vma, gva);
        if (bytes && Buffer.compare(bytes, fresh) !== 0) visit(gva, bytes);
      };
      if (!isShared(vma)) space.visitResident(vma.start, vma.end, look);
      else for (const gva of pagesOf(vma)) look(gva);
    }
  }

  /** The same of private mappings only, with pages for bytes. */
  visitChangedPrivate(space: AddressSpace, visit: (gva: Gva, page: Gpa) => void): void {
    for (const vma of space.vmas) {
      if (isShared(vma)) continue;
      space.visitResident(vma.start, vma.end, (gva, page) => {
        if (!this.isUntouched(vma, gva, page)) visit(gva, page);
      });
    }
  }

  private isUntouched(vma: Vma, gva: Gva, page: Gpa): boolean {
    const { backing } = vma;
    const index = (vma.offset + (gva - vma.start)) / PAGE_SIZE;
    if (backing?.kind === 'file' && backing.cachedPage(index) === page) return true;
    return Buffer.compare(this.bytesOf(page), this.untouched(vma, gva)) === 0;
  }

  private isIn(a: AddressSpace, b: AddressSpace, except: Gva | null): boolean {
    let same = true;
    const compare = (gva: Gva, page: Gpa): void => {
      if (!same || gva === except || b.residentPage(gva) === page) return;
      const theirs = this.at(b, gva);
      same = theirs !== null && Buffer.compare(theirs, this.bytesOf(page)) === 0;
    };
    // Mapping by mapping: what lies beside them (BesideMappings) the program did not put there.
    for (const { start, end } of a.vmas) if (same) a.visitResident(start, end, compare);
    return same;
  }

  /** The bytes of a page; null if unmapped. */
  private at(space: AddressSpace, gva: Gva): Uint8Array | null {
    const page = space.residentPage(gva);
    if (page !== 0) return this.bytesOf(page);
    const vma = space.vmas.find(gva);
    return vma && this.untouched(vma, gva);
  }

  private untouched(vma: Vma, gva: Gva): Uint8Array {
    const { backing } = vma;
    const index = (vma.offset + (gva - vma.start)) / PAGE_SIZE;
    if (backing === null) return ZEROS;
    if (backing.kind === 'file') return this.bytesOf(backing.cachedPage(index));
    const page = backing.peek(index);
    return page === 0 ? ZEROS : this.bytesOf(page);
  }

  private bytesOf(page: Gpa): Uint8Array {
    return this.memory.bytes.subarray(page, page + PAGE_SIZE);
  }
}
