import { PAGE_SIZE } from '../base/address.js';

/** States of a page besides 0, never executable. It may have been executed as it is. */
const CURRENT = 1;
/** It may have been executed with other bytes, and cannot be executed now. */
const OUTDATED = 2;

/**
 * What was done with the pages of a pool, in all sessions and VMs over it: which may hold bytes, and which an emulator
 * may keep translations of. By page number in the pool. So a session that ends need not clean up, and the one
 * behind it pays for what it uses again, if there is one.
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

  /** True if a page that is about to change may have been executed as it is. */
  isCode(page: number): boolean {
    return this.code[page] === CURRENT;
  }

  /** Nothing maps the page any more, and its bytes will not stay. */
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
