import type { Gva } from '../base/address.js';
import type { ContextPage } from '../kvm/context-page.js';
import { MOST_FLUSHED } from '../kvm/layout.js';

/** Where a processor's translations may differ from an address space's page tables: at a few pages, or anywhere. */
export class StalePages {
  private readonly pages: Gva[] = [];
  private everywhere = false;

  /** The present entry of one page changed. */
  add(page: Gva): void {
    if (this.everywhere || this.pages.includes(page)) return;
    if (this.pages.length === MOST_FLUSHED) this.everywhere = true;
    else this.pages.push(page);
  }

  /** Present entries of many pages changed. */
  addAll(): void {
    this.everywhere = true;
  }

  get isEmpty(): boolean {
    return !this.everywhere && this.pages.length === 0;
  }

  /** The processor has no translations any more, or will have none when it enters. */
  clear(): void {
    this.pages.length = 0;
    this.everywhere = false;
  }

  /** Has the next entry flush what is stale; which then no longer is. */
  flushBy(context: Pick<ContextPage, 'requestFlush' | 'requestFlushPage'>): void {
    if (this.everywhere) context.requestFlush();
    else for (const page of this.pages) context.requestFlushPage(page);
    this.clear();
  }
}
