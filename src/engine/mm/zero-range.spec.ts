import { describe, expect, it } from 'vitest';
import { PAGE_SIZE, gpa, type Gva } from '../base/address.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { AddressSpace } from './address-space.js';
import { PageFault } from '../x86/constants.js';
import { FileBacking, SharedObject } from './backing.js';
import { Content } from './content.js';
import { Prot, type Vma } from './vma.js';
import { zeroRange } from './zero-range.js';

const BASE = 0x7000_0000_0000;
const TERABYTE = 2 ** 40;
const at = (page: number, offset = 0): Gva => (BASE + page * PAGE_SIZE + offset) as Gva;

function setUp(size: number, more: Partial<Vma> = {}) {
  const memory = new GuestMemory(new ArrayBuffer(4 * 2 ** 20), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const place = { start: at(0), end: (BASE + size) as Gva, prot: Prot.read | Prot.write };
  space.map({ ...place, backing: null, offset: 0, name: '', file: null, ...more });
  const pages = memory.pagesInUse;
  return {
    memory,
    space,
    zero: (start: number, bytes: number) => zeroRange(space, memory, start, bytes),
    made: () => memory.pagesInUse - pages,
  };
}

function bytesOf(space: AddressSpace, start: Gva, size: number): number[] {
  const into = new Uint8Array(size).fill(0xee);
  expect(space.read(start, into)).toBe(size);
  return [...into];
}

const write = (space: AddressSpace, start: Gva, ...bytes: number[]): number =>
  space.write(start, Uint8Array.from(bytes));

describe('zeroes that are written to', () => {
  it('untouched memory cost nothing, however much it is', () => {
    const { zero, made } = setUp(TERABYTE);
    expect(zero(BASE, TERABYTE)).toBe(TERABYTE);
    expect(zero(BASE + 3, TERABYTE)).toBe(TERABYTE - 3);
    expect(made()).toBe(0);
  });

  it('touched memory are found there, and nothing beside the range', () => {
    const { space, zero } = setUp(TERABYTE);
    const far = 2 ** 27;
    for (const page of [0, 1, far]) write(space, at(page), 1, 2, 3, 4);
    zero(at(0, 2), far * PAGE_SIZE);
    expect(bytesOf(space, at(0), 4)).toEqual([1, 2, 0, 0]);
    expect(bytesOf(space, at(1), 4)).toEqual([0, 0, 0, 0]);
    expect(bytesOf(space, at(far), 4)).toEqual([0, 0, 3, 4]);
  });

  it('end where nothing is mapped', () => {
    const { zero } = setUp(4 * PAGE_SIZE);
    expect(zero(at(1), TERABYTE)).toBe(3 * PAGE_SIZE);
    expect(zero(at(4), TERABYTE)).toBe(0);
  });

  it('shared memory are seen by its other mappings', () => {
    const memory = new GuestMemory(new ArrayBuffer(4 * 2 ** 20), gpa(0x40000), 2 ** 20);
    const object = new SharedObject(memory, 'shared');
    const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
    const place = { prot: Prot.read | Prot.write, backing: object, name: '', file: null };
    space.map({ ...place, start: at(0), end: (BASE + TERABYTE) as Gva, offset: 2 * PAGE_SIZE });
    const other = (BASE - 16 * PAGE_SIZE) as Gva;
    space.map({ ...place, start: other, end: (other + 8 * PAGE_SIZE) as Gva, offset: 0 });
    write(space, at(3), 7, 7);
    expect(bytesOf(space, (other + 5 * PAGE_SIZE) as Gva, 2)).toEqual([7, 7]);
    const before = memory.pagesInUse;
    zeroRange(space, memory, BASE, TERABYTE);
    expect(bytesOf(space, (other + 5 * PAGE_SIZE) as Gva, 2)).toEqual([0, 0]);
    expect(memory.pagesInUse).toBe(before);
  });

  it('a mapped file take the place of its bytes', () => {
    const memory = new GuestMemory(new ArrayBuffer(4 * 2 ** 20), gpa(0x40000), 2 ** 20);
    const bytes = Buffer.alloc(3 * PAGE_SIZE, 9);
    const backing = new FileBacking(memory, {
      name: 'file',
      size: bytes.length,
      read: (offset, into) => bytes.copy(into, 0, offset),
    });
    const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
    space.map({ start: at(0), end: at(3), prot: Prot.read, backing, offset: 0, name: '', file: null });
    zeroRange(space, memory, at(1), PAGE_SIZE + 1);
    expect(bytesOf(space, at(0, PAGE_SIZE - 1), 2)).toEqual([9, 0]);
    expect(bytesOf(space, at(1, PAGE_SIZE - 1), 3)).toEqual([0, 0, 9]);
  });
});

describe('memory that is only read', () => {
  it('gets no page by a read of the engine', () => {
    const { space, made } = setUp(64 * PAGE_SIZE);
    expect(bytesOf(space, at(1), 8 * PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
    expect(made()).toBe(0);
  });

  it('is one page of zeros where the mapping is large, until it is written', () => {
    const { memory, space, made } = setUp(TERABYTE);
    for (let page = 0; page < 512; page++) expect(space.fault(at(page), PageFault.user)).toBe(true);
    const tables = 3;
    expect(made()).toBe(1 + tables);
    expect(space.residentPage(at(0))).toBe(space.residentPage(at(511)));
    expect(space.fault(at(1), PageFault.user | PageFault.write | PageFault.present)).toBe(true);
    expect(space.residentPage(at(1))).not.toBe(space.residentPage(at(0)));
    memory.bytes[space.residentPage(at(1))] = 5;
    expect([bytesOf(space, at(0), 1), bytesOf(space, at(1), 1)]).toEqual([[0], [5]]);
  });

  it('shows no program the stores of another', () => {
    const { space } = setUp(TERABYTE);
    space.fault(at(0), PageFault.user);
    const child = space.fork();
    write(space, at(0), 1);
    write(child, at(1), 2);
    expect([bytesOf(space, at(0), 1), bytesOf(space, at(1), 1)]).toEqual([[1], [0]]);
    expect([bytesOf(child, at(0), 1), bytesOf(child, at(1), 1)]).toEqual([[0], [2]]);
  });
});

it('searches changes in a large shared mapping only where it has pages', () => {
  const memory = new GuestMemory(new ArrayBuffer(4 * 2 ** 20), gpa(0x40000), 2 ** 20);
  const backing = new SharedObject(memory, 'shared');
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const end = (BASE + TERABYTE) as Gva;
  space.map({ start: at(0), end, prot: Prot.write, backing, offset: PAGE_SIZE, name: '', file: null });
  for (const page of [2 ** 27, 3]) write(space, at(page), 1);
  backing.page(0); // below the mapping
  const visited: Gva[] = [];
  new Content(memory).visitChanged(space, (gva) => visited.push(gva));
  expect(visited).toEqual([at(3), at(2 ** 27)]);
});
