import { PAGE_SIZE, type Gpa } from '../base/address.js';
import type { GuestMemory } from '../kvm/guest-memory.js';

/** A source of bytes: a file of the trace, usually, which does not change during a replay. */
export interface ByteSource {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Reads up to `into.length` bytes at `offset`; returns how many; 0 at or past the end. */
  read(offset: number, into: Uint8Array): number;
}

/** Pages that are read at once: those behind a page that is touched are often touched next, and a call costs more than its bytes. */
const RUN_PAGES = 16;
/** The last run that was read, of any file. */
const run: { source: ByteSource | null; start: number; end: number; readonly bytes: Uint8Array } = {
  ...{ source: null, start: 0, end: 0 },
  bytes: new Uint8Array(RUN_PAGES * PAGE_SIZE),
};

/** Where the pages of a mapping come from when they are first touched. */
export type Backing = FileBacking | SharedObject;

/**
 * A file in private mappings (or in shared ones that the recorder treated as immutable). Pages are
 * read once and shared, copy-on-write, by every address space that maps them.
 */
export class FileBacking {
  readonly kind = 'file';
  private readonly cache = new Map<number, Gpa>();

  /** @param isConstant pages may be read before they are touched: what is in the file never changes */
  constructor(
    private readonly memory: GuestMemory,
    readonly source: ByteSource,
    private readonly isConstant = false,
  ) {}

  /** The cached page with the file's bytes at `index` * PAGE_SIZE, zero past the end. Its count includes the cache's own. */
  cachedPage(index: number): Gpa {
    let page = this.cache.get(index);
    if (page === undefined) {
      page = this.memory.allocate();
      this.fill(page, index);
      this.cache.set(index, page);
    }
    return page;
  }

  /** A new page of the caller's own with the file's bytes. */
  privatePage(index: number): Gpa {
    const cached = this.cache.get(index);
    if (cached !== undefined) return this.memory.copy(cached);
    const page = this.memory.allocate();
    this.fill(page, index);
    return page;
  }

  /** Frees the cache's pages. Precondition: nothing maps the file any more. */
  dispose(): void {
    for (const page of this.cache.values()) this.memory.release(page);
    this.cache.clear();
  }

  private fill(page: Gpa, index: number): void {
    const start = index * PAGE_SIZE;
    if (!this.isConstant) {
      this.read(start, this.memory.bytes.subarray(page, page + PAGE_SIZE));
      return;
    }
    if (run.source !== this.source || start < run.start || start >= run.end) {
      run.source = null; // if reading fails
      run.end = start + this.read(start, run.bytes);
      run.start = start;
      run.source = this.source;
    }
    const from = start - run.start;
    this.memory.bytes.set(run.bytes.subarray(from, Math.min(from + PAGE_SIZE, run.end - run.start)), page);
  }

  /** Returns how many bytes there were: fewer only at the end. */
  private read(start: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      const count = this.source.read(start + done, into.subarray(done));
      if (count <= 0) break;
      done += count;
    }
    return done;
  }
}

/**
 * Memory shared by every mapping of it, in all address spaces: MAP_SHARED of a file or anonymous, a
 * System V segment, a system-call buffer. rr's EmuFile. Grows on demand; starts as zeros.
 */
export class SharedObject {
  readonly kind = 'shared';
  private readonly pages = new Map<number, Gpa>();
  /** Pages that a snapshot shares: replaced by a copy on next access. */
  private readonly frozen = new Set<number>();
  private destroyed = false;
  /** Mappings that refer to this object, over all address spaces. */
  mappings = 0;

  constructor(
    private readonly memory: GuestMemory,
    readonly name: string,
  ) {}

  /** The object's page; the object keeps one count of it. */
  page(index: number): Gpa {
    let page = this.pages.get(index);
    if (page === undefined) {
      page = this.memory.allocate();
      this.pages.set(index, page);
    } else if (this.frozen.delete(index) && this.memory.count(page) > 1) {
      const copy = this.memory.copy(page);
      this.memory.release(page);
      this.pages.set(index, copy);
      page = copy;
    }
    return page;
  }

  /** The object's page, read-only; 0: none yet, which reads as zeros. */
  peek(index: number): Gpa {
    return this.pages.get(index) ?? (0 as Gpa);
  }

  /** Indices and pages, as they are. */
  [Symbol.iterator](): IterableIterator<[number, Gpa]> {
    return this.pages[Symbol.iterator]();
  }

  /** Its pages in [first, end), in order. Linear in the number of pages, not in the range. */
  indices(first: number, end: number): number[] {
    const inside: number[] = [];
    if (end - first < this.pages.size) {
      for (let index = first; index < end; index++) if (this.pages.has(index)) inside.push(index);
      return inside;
    }
    for (const index of this.pages.keys()) if (index >= first && index < end) inside.push(index);
    return inside.sort((a, b) => a - b);
  }

  /** Adds a page that the object does not have, transferring one reference. */
  adopt(index: number, page: Gpa): void {
    this.pages.set(index, page);
    this.frozen.add(index);
  }

  /** Zeroes the pages that are entirely in [first, end), like the hole of MADV_REMOVE. */
  zero(first: number, end: number): void {
    for (const index of this.indices(first, end)) {
      const page = this.page(index);
      this.memory.willChange(page);
      this.memory.bytes.fill(0, page, page + PAGE_SIZE);
    }
  }

  /** A copy whose stores do not reach this object; for diversions and checkpoints. */
  clone(): SharedObject {
    const copy = new SharedObject(this.memory, this.name);
    for (const [index, page] of this.pages) copy.pages.set(index, this.memory.copy(page));
    return copy;
  }

  /**
   * A copy whose stores do not reach this object and vice versa; pages are copied on next access by
   * either. Precondition: no page-table entry refers to this object's pages any more.
   */
  snapshot(): SharedObject {
    const copy = new SharedObject(this.memory, this.name);
    for (const [index, page] of this.pages) {
      this.memory.retain(page);
      copy.pages.set(index, page);
      copy.frozen.add(index);
      this.frozen.add(index);
    }
    return copy;
  }

  /** True once its last mapping was removed: a later mapping of the same inode starts empty. */
  get isDestroyed(): boolean {
    return this.destroyed;
  }

  destroy(): void {
    this.destroyed = true;
    for (const page of this.pages.values()) this.memory.release(page);
    this.pages.clear();
  }
}

/** A mapping, for its backing. */
interface Backed {
  readonly backing: Backing | null;
}

/** Counts a mapping of a shared object. */
export function retainShared({ backing }: Backed): void {
  if (backing instanceof SharedObject) backing.mappings++;
}

/** The counterpart: an object is freed with its last mapping. */
export function releaseShared({ backing }: Backed): void {
  if (backing instanceof SharedObject && --backing.mappings === 0) backing.destroy();
}
