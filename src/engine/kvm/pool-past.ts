import { PAGE_SIZE } from '../base/address.js';

/** States of a page besides 0, never executable. It may have been executed as it is. */
const CURRENT = 1;
/** It may have been executed with other bytes, and cannot be executed now. */
const OUTDATED = 2;

/**
 * The history of the pages of a pool, over all sessions and VMs: which may be non-zero, and which
 * an emulator may have translations of. By page number in the pool. So a session need not clean up
 * at its end, and the next one clears only what it uses.
 */
export class PoolPast {
  /** Pages from this one on were never used, and are zero. */
  usedEnd = 0;
  private code = new Uint8Array(0);

  private constructor(private readonly pages: number) {}

  private static readonly known = new WeakMap<ArrayBuffer, PoolPast>();

  /** The one of this pool. */
  static of(pool: ArrayBuffer): PoolPast {
    let past = PoolPast.known.get(pool);
    if (!past) PoolPast.known.set(pool, (past = new PoolPast(Math.ceil(pool.byteLength / PAGE_SIZE))));
    return past;
  }

  /** The page is executable from now on. True if translations of other bytes must go before it is. */
  becomesCode(page: number): boolean {
    if (page >= this.code.length) this.grow(page);
    const outdated = this.code[page] === OUTDATED;
    this.code[page] = CURRENT;
    return outdated;
  }

  /** True if a page that is about to change may have been executed with its current content. */
  isCode(page: number): boolean {
    return this.code[page] === CURRENT;
  }

  /** Nothing maps the page any more, and its content will not be kept. */
  retire(page: number): void {
    if (this.code[page] === CURRENT) this.code[page] = OUTDATED;
  }

  /** The same of all pages. */
  retireAll(): void {
    for (let page = 0; page < this.code.length; page++) this.retire(page);
  }

  private grow(page: number): void {
    const grown = new Uint8Array(Math.min(Math.max(2 * (page + 1), 1 << 14), Math.max(this.pages, page + 1)));
    grown.set(this.code);
    this.code = grown;
  }
}
