import { describe, expect, it } from 'vitest';
import type { Gva } from '../base/address.js';
import { Prot, clip, type Vma } from './vma.js';
import { VmaSet } from './vma-set.js';

const at = (page: number): Gva => (page * 4096) as Gva;

function vma(first: number, end: number, name = ''): Vma {
  return { start: at(first), end: at(end), prot: Prot.read, backing: null, offset: 0, name, file: null };
}

function setOf(...list: Vma[]): VmaSet {
  const set = new VmaSet();
  for (const item of list) set.insert(item);
  return set;
}

const pages = (set: VmaSet): string =>
  [...set].map((v) => `${v.start / 4096}-${v.end / 4096}${v.name}`).join(' ');

describe('VmaSet', () => {
  it('keeps its VMAs sorted however they come', () => {
    expect(pages(setOf(vma(8, 9), vma(1, 3), vma(4, 6)))).toBe('1-3 4-6 8-9');
  });

  it('finds the VMA that contains an address, and none in a gap or at an end', () => {
    const set = setOf(vma(1, 3, 'a'), vma(4, 6, 'b'));
    expect(set.find(at(2))?.name).toBe('a');
    expect(set.find(at(3))).toBeNull();
    expect(set.find(at(0))).toBeNull();
    expect(set.find(at(6))).toBeNull();
    expect(set.findAtOrAbove(at(3))?.name).toBe('b');
    expect(set.findAtOrAbove(at(6))).toBeNull();
  });

  it('splits at both borders when a middle part goes, offsets following', () => {
    const set = setOf({ ...vma(1, 9), offset: 4096 });
    const removed = set.remove(at(3), at(5));
    expect(pages(set)).toBe('1-3 5-9');
    expect([...set].map((v) => v.offset / 4096)).toEqual([1, 5]);
    expect(removed.map((v) => v.offset / 4096)).toEqual([3]);
  });

  it('removes across several VMAs and gaps', () => {
    const set = setOf(vma(1, 3), vma(4, 6), vma(7, 9));
    set.remove(at(2), at(8));
    expect(pages(set)).toBe('1-2 8-9');
  });

  it('replaces only the part inside a range', () => {
    const set = setOf(vma(1, 5, 'a'), vma(5, 7, 'b'));
    set.replace(at(4), at(6), (part) => ({ ...part, name: 'X' }));
    expect(pages(set)).toBe('1-4a 4-5X 5-6X 6-7b');
  });

  it('changes nothing if nothing overlaps', () => {
    const set = setOf(vma(1, 3));
    expect(set.remove(at(3), at(9))).toEqual([]);
    expect(set.overlapping(at(3), at(9))).toEqual([]);
    expect(pages(set)).toBe('1-3');
  });
});

describe('clip', () => {
  it('moves the offsets of backing and file along', () => {
    const file = { path: '/lib/x', device: 1n, inode: 2n, offset: 8192 };
    const part = clip({ ...vma(2, 6), offset: 4096, file }, at(4), at(9));
    expect(part).toMatchObject({ start: at(4), end: at(6), offset: 3 * 4096, file: { offset: 4 * 4096 } });
  });

  it('is null outside', () => {
    expect(clip(vma(2, 4), at(4), at(5))).toBeNull();
  });
});
