import { expect, it } from 'vitest';
import { gva, type Gva } from '../base/address.js';
import { ContextPage } from '../kvm/context-page.js';
import { ContextOffset, ContextRequest, MOST_FLUSHED, Ring0 } from '../kvm/layout.js';
import { StalePages } from './stale-pages.js';

const at = (page: number): Gva => gva(0x7f00_0000_0000 + page * 4096);

function requested(stale: StalePages): { requests: number; pages: number[] } {
  const pool = new ArrayBuffer(Ring0.end);
  const context = new ContextPage(pool);
  stale.flushBy(context);
  expect(stale.isEmpty).toBe(true);
  const count = new Uint32Array(pool, Ring0.context + ContextOffset.flushCount, 1)[0];
  const pages = new BigUint64Array(pool, Ring0.context + ContextOffset.flush, count);
  return { requests: context.requests, pages: [...pages].map(Number) };
}

it('has a few pages flushed one by one, each once', () => {
  const stale = new StalePages();
  for (const page of [3, 5, 3, 7]) stale.add(at(page));
  expect(requested(stale)).toEqual({ requests: ContextRequest.flushPages, pages: [at(3), at(5), at(7)] });
  expect(requested(stale)).toEqual({ requests: 0, pages: [] });
});

it('has everything flushed for many', () => {
  const stale = new StalePages();
  for (let page = 0; page <= MOST_FLUSHED; page++) stale.add(at(page));
  expect(requested(stale)).toEqual({ requests: ContextRequest.cr3, pages: [] });
  stale.add(at(1));
  stale.addAll();
  expect(requested(stale).requests).toBe(ContextRequest.cr3);
});
