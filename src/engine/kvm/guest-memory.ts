import { PAGE_SIZE, type Gpa } from '../base/address.js';
import { RevenantError, invariant } from '../base/errors.js';
import { PoolPast } from './pool-past.js';

const INITIAL_PAGES = 1 << 14;
/** Handed-out entries of the queue of free pages that are kept before it is cut. */
const MOST_HANDED_OUT = 1 << 12;

/**
 * Reference-counted pages of the guest-physical pool.
 *
 * A page is shared by raising its count (fork, page cache, shared mappings); a page with a count
 * above one must be copied before it is written. Pages that no session ever used are zero and need
 * no clearing.
 *
 * Invariant: pages below `firstFree` (control block, ring 0) are never handed out.
 */
export class GuestMemory {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  private counts = new Uint32Array(INITIAL_PAGES);
  /**
   * From `nextFree` on, in the order in which they were released: a mapping that goes is released page after page, and
   * what is allocated next lies in the pool side by side, as the process machine maps it best.
   */
  private free: Gpa[] = [];
  private nextFree = 0;
  private readonly firstPage: number;
  private readonly endPage: number;
  private nextFresh: number;
  private inUse = 0;
  private highWater = 0;

  private readonly past: PoolPast;
  private zeros = 0 as Gpa;
  /** Pages that may be in use; lower for a while than the limit allows. */
  ceiling = Infinity;
  /** When so many pages are in use, and another one is needed, `onMark` is called. */
  mark = Infinity;
  /** May free pages, and sets another mark. */
  onMark: () => void = () => {};
  /** Called in this order at the limit; see `reclaimFrom`. */
  private readonly reclaimers: (() => boolean)[] = [];

  /**
   * @param pool the whole guest-physical pool
   * @param firstFree first byte that may be handed out; page-aligned
   * @param limitBytes how much of it this session may use
   * @param onCodeChanged called with a page of which a machine may keep translations that are not, or will not be,
   *   those of its content (Machine.codeWritten); the change is complete when the guest runs next
   */
  constructor(
    pool: ArrayBuffer,
    firstFree: Gpa,
    private readonly limitBytes: number,
    private readonly onCodeChanged: (page: Gpa) => void = () => {},
  ) {
    this.bytes = new Uint8Array(pool);
    this.words = new Uint32Array(pool);
    this.firstPage = firstFree / PAGE_SIZE;
    this.endPage = Math.floor(Math.min(pool.byteLength, firstFree + limitBytes) / PAGE_SIZE);
    this.nextFresh = this.firstPage;
    this.past = PoolPast.of(pool);
  }

  /** Pages that the session may use. */
  get limitPages(): number {
    return this.endPage - this.firstPage;
  }

  get pagesInUse(): number {
    return this.inUse;
  }

  get peakPages(): number {
    return this.highWater;
  }

  /** A zeroed page with a count of one. Throws E_MEMORY_LIMIT. */
  allocate(): Gpa {
    const page = this.take();
    if (page / PAGE_SIZE < this.past.usedEnd) this.bytes.fill(0, page, page + PAGE_SIZE);
    return this.claim(page);
  }

  /** A page whose content is unspecified, for callers that overwrite all of it. */
  allocateUninitialised(): Gpa {
    return this.claim(this.take());
  }

  /**
   * The shared zero page, with a count for the caller. Writers get another page, because its count is above one.
   */
  retainZeros(): Gpa {
    if (this.zeros === 0) this.zeros = this.allocate();
    this.retain(this.zeros);
    return this.zeros;
  }

  /** The page is mapped executable from now on. */
  markCode(page: Gpa): void {
    if (this.past.becomesCode(page / PAGE_SIZE)) this.onCodeChanged(page);
  }

  /** To be called before storing into a page that the program may have executed. */
  willChange(page: Gpa): void {
    if (this.past.isCode(page / PAGE_SIZE)) this.onCodeChanged(page);
  }

  /** A new page with the content of `source`. */
  copy(source: Gpa): Gpa {
    const page = this.allocateUninitialised();
    this.bytes.copyWithin(page, source, source + PAGE_SIZE);
    return page;
  }

  count(page: Gpa): number {
    return this.counts[page / PAGE_SIZE - this.firstPage];
  }

  retain(page: Gpa): void {
    this.counts[page / PAGE_SIZE - this.firstPage]++;
  }

  release(page: Gpa): void {
    const index = page / PAGE_SIZE - this.firstPage;
    invariant(this.counts[index] > 0, `page ${page.toString(16)} released more often than retained`);
    if (--this.counts[index] === 0) {
      this.past.retire(page / PAGE_SIZE);
      this.free.push(page);
      this.inUse--;
    }
  }

  /** How many pages have no references but those that are visited: a page is visited once for each. */
  countHeld(visitAll: (visit: (page: Gpa) => void) => void): number {
    const seen = new Uint32Array(this.nextFresh - this.firstPage);
    let held = 0;
    visitAll((page) => {
      const index = page / PAGE_SIZE - this.firstPage;
      if (++seen[index] === this.counts[index]) held++;
    });
    return held;
  }

  /** Frees everything. */
  close(): void {
    this.past.retireAll();
    this.zeros = 0 as Gpa;
    this.free.length = this.nextFree = 0;
    this.nextFresh = this.firstPage;
    this.counts.fill(0);
    this.inUse = 0;
  }

  private checkCeiling(): void {
    if (this.inUse < this.ceiling) return;
    throw new RevenantError('E_MEMORY_LIMIT', `More than ${this.ceiling} pages of guest memory are needed.`);
  }

  /** A free page with unspecified content. */
  private take(): Gpa {
    this.checkCeiling();
    if (this.inUse >= this.mark) this.onMark();
    if (this.nextFree === this.free.length) return this.takeFresh();
    const page = this.free[this.nextFree++];
    if (this.nextFree >= MOST_HANDED_OUT && this.nextFree * 2 >= this.free.length) {
      this.free = this.free.slice(this.nextFree);
      this.nextFree = 0;
    }
    return page;
  }

  /**
   * Registers `release`, which frees dispensable pages when memory is short, and is called before
   * those registered earlier; false: it has none.
   */
  reclaimFrom(release: () => boolean): void {
    this.reclaimers.unshift(release);
  }

  private takeFresh(): Gpa {
    if (this.nextFresh >= this.endPage) {
      if (this.reclaimers.some((release) => release())) return this.take();
      throw new RevenantError(
        'E_MEMORY_LIMIT',
        `The replay needs more guest memory than its limit of ${Math.floor(this.limitBytes / 2 ** 20)} MiB.`,
        'Raise the limit with --memory, for example --memory 4G.',
      );
    }
    const page = (this.nextFresh++ * PAGE_SIZE) as Gpa;
    const index = page / PAGE_SIZE - this.firstPage;
    if (index >= this.counts.length) {
      const grown = new Uint32Array(this.counts.length * 2);
      grown.set(this.counts);
      this.counts = grown;
    }
    return page;
  }

  private claim(page: Gpa): Gpa {
    const index = page / PAGE_SIZE;
    if (index >= this.past.usedEnd) this.past.usedEnd = index + 1;
    this.counts[index - this.firstPage] = 1;
    if (++this.inUse > this.highWater) this.highWater = this.inUse;
    return page;
  }
}
