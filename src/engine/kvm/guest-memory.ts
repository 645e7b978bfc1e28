import { PAGE_SIZE, type Gpa } from '../base/address.js';
import { RevenantError, invariant } from '../base/errors.js';

const INITIAL_PAGES = 1 << 14;

/**
 * Reference-counted pages of the guest-physical pool.
 *
 * A page is shared by raising its count (fork, page cache, shared mappings); whoever wants to write
 * to a page with a count above one copies it first. Fresh pool memory is zero, so pages that were
 * never handed out need no clearing.
 *
 * Invariant: pages below `firstFree` (control block, ring 0) are never handed out.
 */
export class GuestMemory {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  private counts = new Uint32Array(INITIAL_PAGES);
  private readonly free: Gpa[] = [];
  private readonly firstPage: number;
  private readonly endPage: number;
  private nextFresh: number;
  private inUse = 0;
  private highWater = 0;

  /** Pages that were mapped executable: a machine may keep translations of their content. */
  private code = new Uint8Array(INITIAL_PAGES);
  /** Pages that may be in use; lower for a while than the limit allows. */
  ceiling = Infinity;
  /** Asked at the limit to release pages that can be done without; false = there are none. */
  reclaim: () => boolean = () => false;

  /**
   * @param pool the whole guest-physical pool
   * @param firstFree first byte that may be handed out; page-aligned
   * @param limitBytes how much of it this session may use
   * @param onCodeChanged called with a page that the program may have executed and whose content is about
   *   to be changed from here (Machine.codeWritten); the change is complete when the guest runs next
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
    this.checkCeiling();
    const recycled = this.free.pop();
    if (recycled === undefined) return this.takeFresh();
    this.willChange(recycled);
    this.bytes.fill(0, recycled, recycled + PAGE_SIZE);
    return this.claim(recycled);
  }

  /** A page whose content is unspecified, for callers that overwrite all of it. */
  allocateUninitialised(): Gpa {
    this.checkCeiling();
    const recycled = this.free.pop();
    if (recycled === undefined) return this.takeFresh();
    this.willChange(recycled);
    return this.claim(recycled);
  }

  /** The page is mapped executable from now on. */
  markCode(page: Gpa): void {
    this.code[page / PAGE_SIZE - this.firstPage] = 1;
  }

  /** To be called before storing into a page that the program may have executed. */
  willChange(page: Gpa): void {
    if (this.code[page / PAGE_SIZE - this.firstPage] !== 0) this.onCodeChanged(page);
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
      this.free.push(page);
      this.inUse--;
    }
  }

  /** Gives everything back, zeroed, so that the next session of the same machine finds fresh memory. */
  close(): void {
    this.bytes.fill(0, this.firstPage * PAGE_SIZE, this.nextFresh * PAGE_SIZE);
    for (let index = 0; index < this.nextFresh - this.firstPage; index++) {
      if (this.code[index] !== 0) this.onCodeChanged(((index + this.firstPage) * PAGE_SIZE) as Gpa);
    }
    this.code.fill(0);
    this.free.length = 0;
    this.nextFresh = this.firstPage;
    this.counts.fill(0);
    this.inUse = 0;
  }

  private checkCeiling(): void {
    if (this.inUse < this.ceiling) return;
    throw new RevenantError('E_MEMORY_LIMIT', `More than ${this.ceiling} pages of guest memory are needed.`);
  }

  private takeFresh(): Gpa {
    if (this.nextFresh >= this.endPage) {
      if (this.reclaim()) return this.allocate();
      throw new RevenantError(
        'E_MEMORY_LIMIT',
        `The replay needs more guest memory than its limit of ${Math.floor(this.limitBytes / 2 ** 20)} MiB.`,
        'Give it more with --memory, for example --memory 4G.',
      );
    }
    const page = (this.nextFresh++ * PAGE_SIZE) as Gpa;
    const index = page / PAGE_SIZE - this.firstPage;
    if (index >= this.counts.length) {
      const grown = new Uint32Array(this.counts.length * 2);
      grown.set(this.counts);
      this.counts = grown;
      const code = new Uint8Array(grown.length);
      code.set(this.code);
      this.code = code;
    }
    return this.claim(page);
  }

  private claim(page: Gpa): Gpa {
    this.counts[page / PAGE_SIZE - this.firstPage] = 1;
    if (++this.inUse > this.highWater) this.highWater = this.inUse;
    return page;
  }
}
