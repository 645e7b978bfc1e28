import { expect, it } from 'vitest';
import { gva, PAGE_SIZE, type Gva } from '../base/address.js';
import { FaultRuns } from './fault-around.js';
import { Prot, type Vma } from './vma.js';

const BASE = 0x1000_0000;
const at = (page: number): Gva => gva(BASE + page * PAGE_SIZE);
/** A mapping that counts as sparse. */
const vma: Vma = {
  start: at(0),
  end: at(1_000_000),
  prot: Prot.read | Prot.write,
  backing: null,
  offset: 0,
  name: '',
  file: null,
};

/** Faults of a program that writes to `count` pages in order; how many faults and how many pages were filled. */
function touch(runs: FaultRuns, count: number): [faults: number, filled: number] {
  let faults = 0;
  let filled = 0;
  for (let page = 0; page < count; faults++) {
    const { first, last } = runs.window(vma, at(page), true);
    filled += (last - first) / PAGE_SIZE;
    page = (last - BASE) / PAGE_SIZE;
  }
  return [faults, filled];
}

it('fills ever more where pages are touched in order, and little more than is touched', () => {
  const [faults, filled] = touch(new FaultRuns(), 50_000);
  expect(faults).toBeLessThan(250);
  expect(filled).toBeGreaterThanOrEqual(50_000);
  expect(filled).toBeLessThan(50_000 * 1.1);
});

it('fills no more where they are touched here and there', () => {
  const runs = new FaultRuns();
  for (let page = 0; page < 10_000; page += 7) {
    const { first, last } = runs.window(vma, at(page), true);
    expect((last - first) / PAGE_SIZE).toBe(2);
  }
});

it('follows several runs at once', () => {
  const runs = new FaultRuns();
  const ends = [0, 100_000, 200_000, 300_000];
  for (let step = 0; step < 400; step++) {
    for (const [run, end] of ends.entries())
      ends[run] = (runs.window(vma, at(end), true).last - BASE) / PAGE_SIZE;
  }
  for (const [run, end] of ends.entries()) expect(end - run * 100_000).toBeGreaterThan(10_000);
});

it('does not leave the mapping', () => {
  const runs = new FaultRuns();
  const [, filled] = touch(runs, 999_999);
  expect(filled).toBe(1_000_000);
  expect(runs.window(vma, at(999_999), true).last).toBe(vma.end);
});
