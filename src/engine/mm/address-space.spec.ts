import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../base/address.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { Pte } from '../kvm/page-tables.js';
import { AddressSpace } from './address-space.js';
import { PageFault } from '../x86/constants.js';
import { FileBacking, SharedObject } from './backing.js';
import { Prot, type Vma } from './vma.js';

const PAGE = 4096;
const BASE = 0x7f00_0000_0000;
const USER_WRITE = PageFault.user | PageFault.write;
const at = (page: number, offset = 0): Gva => (BASE + page * PAGE + offset) as Gva;

function setUp(limit = 4 * 2 ** 20) {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), limit);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const map = (first: number, end: number, more: Partial<Vma> = {}): void =>
    space.map({
      start: at(first),
      end: at(end),
      prot: Prot.read | Prot.write,
      backing: null,
      offset: 0,
      name: '',
      file: null,
      ...more,
    });
  return { memory, space, map };
}

/** The leaf entry as the processor would walk to it. */
function walk(memory: GuestMemory, root: number, gva: number): { low: number; high: number } {
  let table = root;
  for (const size of [2 ** 39, 2 ** 30, 2 ** 21]) {
    const word = table / 4 + (Math.floor(gva / size) % 512) * 2;
    if (!(memory.words[word] & 1)) return { low: 0, high: 0 };
    table = (memory.words[word] & ~0xfff) >>> 0;
  }
  const word = table / 4 + (Math.floor(gva / PAGE) % 512) * 2;
  return { low: memory.words[word], high: memory.words[word + 1] };
}

function text(space: AddressSpace, where: Gva, size: number): string {
  const bytes = new Uint8Array(size);
  return Buffer.from(bytes.subarray(0, space.read(where, bytes))).toString('latin1');
}

const write = (space: AddressSpace, where: Gva, value: string): number =>
  space.write(where, Buffer.from(value, 'latin1'));
const fileOf = (memory: GuestMemory, content: string): FileBacking => {
  const bytes = Buffer.from(content, 'latin1');
  return new FileBacking(memory, {
    name: 'file',
    size: bytes.length,
    read: (offset, into) => bytes.copy(into, 0, offset, Math.min(bytes.length, offset + into.length)),
  });
};

describe('faults', () => {
  it('fills an anonymous page on first touch, writable and not executable', () => {
    const { memory, space, map } = setUp();
    map(0, 64);
    expect(walk(memory, space.root, at(20)).low).toBe(0);
    expect(space.fault(at(20, 5), USER_WRITE)).toBe(true);
    const { low, high } = walk(memory, space.root, at(20));
    expect(low & 7).toBe(Pte.present | Pte.writable | Pte.user);
    expect(high >>> 31).toBe(1);
  });

  it('refuses access that the VMA does not allow, and unmapped addresses', () => {
    const { space, map } = setUp();
    map(0, 1, { prot: Prot.read });
    expect(space.fault(at(0), USER_WRITE)).toBe(false);
    expect(space.fault(at(0), PageFault.user | PageFault.fetch)).toBe(false);
    expect(space.fault(at(0), PageFault.user)).toBe(true);
    expect(space.fault(at(1), PageFault.user)).toBe(false);
    expect(space.fault(-1 as Gva, PageFault.user)).toBe(false);
  });

  it('stops at the memory limit with an error that names it', () => {
    const { space, map } = setUp(2 ** 20);
    map(0, 1024);
    expect(() => {
      for (let page = 0; page < 1024; page++) space.fault(at(page), USER_WRITE);
    }).toThrow(/limit of 1 MiB/);
  });
});

describe('pages of files', () => {
  /** A file of 40 pages, whose reads are counted; page n is full of the letter that `letter` gives it. */
  function counted(memory: GuestMemory, isConstant: boolean, letter: (page: number) => string) {
    const size = 40 * PAGE - 10;
    const reads: number[] = [];
    const read = (offset: number, into: Uint8Array): number => {
      reads.push(offset / PAGE);
      const count = Math.max(0, Math.min(into.length, size - offset));
      for (let done = 0; done < count; done++)
        into[done] = letter(Math.floor((offset + done) / PAGE)).charCodeAt(0);
      return count;
    };
    return { backing: new FileBacking(memory, { name: 'file', size, read }, isConstant), reads };
  }
  const alphabet = (page: number): string => String.fromCharCode(0x30 + page);

  it('are read in runs where the file is constant, and are its own', () => {
    const { memory, space, map } = setUp();
    const { backing, reads } = counted(memory, true, alphabet);
    map(0, 40, { prot: Prot.read, backing });
    for (let page = 0; page < 40; page++) expect(text(space, at(page), 3)).toBe(alphabet(page).repeat(3));
    expect(text(space, at(39, PAGE - 12), 12)).toBe(`${alphabet(39).repeat(2)}${'\0'.repeat(10)}`);
    // At the end a read that finds no more.
    expect(new Set(reads.filter((page) => Number.isInteger(page)))).toEqual(new Set([0, 16, 32]));
    const other = counted(memory, true, () => '!');
    map(100, 140, { prot: Prot.read, backing: other.backing });
    expect(text(space, at(133), 3)).toBe('!!!');
    expect(text(space, at(103), 3)).toBe('!!!');
  });

  it('are read when they are touched where it is not', () => {
    const { memory, space, map } = setUp();
    let written = 'a';
    const { backing } = counted(memory, false, () => written);
    map(0, 40, { prot: Prot.read, backing });
    expect(text(space, at(0), 1)).toBe('a');
    written = 'b';
    expect(text(space, at(1), 1)).toBe('b');
  });
});

describe('protect', () => {
  it('takes rights from resident pages at once and gives them back', () => {
    const { memory, space, map } = setUp();
    map(0, 4);
    write(space, at(1), 'kept');
    space.protect(at(1), at(2), Prot.none);
    expect(walk(memory, space.root, at(1)).low & Pte.present).toBe(0);
    expect(space.stale.isEmpty).toBe(false);
    expect(space.fault(at(1), PageFault.user)).toBe(false);
    space.protect(at(1), at(2), Prot.read);
    expect(walk(memory, space.root, at(1)).low & 7).toBe(Pte.present | Pte.user);
    expect(text(space, at(1), 4)).toBe('kept');
    expect([...space.vmas].length).toBe(3);
  });
});

describe('files', () => {
  it('reads pages, zero past the end, and copies on write', () => {
    const { memory, space, map } = setUp();
    const file = fileOf(memory, 'x'.repeat(PAGE) + 'tail');
    map(0, 2, { backing: file, prot: Prot.read | Prot.exec });
    map(4, 6, { backing: file, prot: Prot.read | Prot.exec });
    expect(text(space, at(1), 6)).toBe('tail\0\0');
    expect(write(space, at(1), 'HEAD')).toBe(4);
    expect(text(space, at(1), 4)).toBe('HEAD');
    expect(text(space, at(5), 4)).toBe('tail');
  });
});

describe('fork', () => {
  it('shares pages until one side writes', () => {
    const { memory, space, map } = setUp();
    map(0, 2);
    write(space, at(0), 'before');
    const used = memory.pagesInUse;
    const child = space.fork();
    expect(memory.pagesInUse - used).toBeLessThanOrEqual(4);
    expect(walk(memory, space.root, at(0)).low & Pte.writable).toBe(0);
    expect(child.fault(at(0), USER_WRITE | PageFault.present)).toBe(true);
    write(child, at(0), 'child!');
    expect(text(space, at(0), 6)).toBe('before');
    expect(space.fault(at(0), USER_WRITE | PageFault.present)).toBe(true);
    expect(walk(memory, space.root, at(0)).low & Pte.writable).toBe(Pte.writable);
    child.destroy();
    space.destroy();
    expect(memory.pagesInUse).toBe(0);
  });

  it('keeps shared objects shared', () => {
    const { memory, space, map } = setUp();
    const object = new SharedObject(memory, 'shm');
    map(0, 2, { backing: object });
    const child = space.fork();
    write(child, at(1), 'seen');
    expect(text(space, at(1), 4)).toBe('seen');
    expect(object.mappings).toBe(2);
    child.destroy();
    space.destroy();
    expect(object.isDestroyed).toBe(true);
    expect(memory.pagesInUse).toBe(0);
  });

  it('leaves out what MADV_DONTFORK covers', () => {
    const { space, map } = setUp();
    map(0, 4);
    space.setDontFork(at(1), at(2), true);
    const child = space.fork();
    expect(child.vmas.find(at(1))).toBeNull();
    expect(child.vmas.find(at(2))).not.toBeNull();
  });

  it('drops MADV_DONTFORK with its mapping', () => {
    const { space, map } = setUp();
    map(0, 4);
    space.setDontFork(at(1), at(2), true);
    map(0, 4);
    expect(space.fork().vmas.find(at(1))).not.toBeNull();
  });
});

describe('copies on write', () => {
  const PAGES = 8192;
  const isWritable = (memory: GuestMemory, space: AddressSpace, page: number): boolean =>
    (walk(memory, space.root, at(page)).low & Pte.writable) !== 0;

  /** Stores to pages in this order, as a program does; how many of them fault. */
  function store(memory: GuestMemory, space: AddressSpace, pages: Iterable<number>): number {
    let faults = 0;
    for (const page of pages) {
      if (isWritable(memory, space, page)) continue;
      expect(space.fault(at(page), USER_WRITE)).toBe(true);
      expect(isWritable(memory, space, page)).toBe(true);
      faults++;
    }
    return faults;
  }
  const upTo = (end: number, step = 1): number[] =>
    Array.from({ length: Math.ceil(end / step) }, (_, index) => index * step);

  function filled(): { memory: GuestMemory; space: AddressSpace } {
    const memory = new GuestMemory(new ArrayBuffer(128 * 2 ** 20), gpa(0x40000), 127 * 2 ** 20);
    const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
    const prot = Prot.read | Prot.write;
    space.map({ start: at(0), end: at(PAGES), prot, backing: null, offset: 0, name: '', file: null });
    store(memory, space, upTo(PAGES));
    return { memory, space };
  }

  it('are made ahead where stores come in order, and are few more than was stored to', () => {
    const { memory, space } = filled();
    write(space, at(4000), 'before');
    const child = space.fork();
    const before = memory.pagesInUse;
    expect(store(memory, child, upTo(4000))).toBeLessThan(100);
    expect(memory.pagesInUse - before).toBeGreaterThanOrEqual(4000);
    expect(memory.pagesInUse - before).toBeLessThan(4400);
    write(child, at(4000), 'behind');
    expect(text(space, at(4000), 6)).toBe('before');
    expect(store(memory, space, upTo(4000))).toBeLessThan(20);
    expect(memory.pagesInUse - before).toBeLessThan(4400);
  });

  it('do not go on with the runs of earlier forks', () => {
    const { memory, space } = filled();
    const earlier = space.fork();
    store(memory, space, upTo(4000));
    const end = upTo(PAGES).find((page) => !isWritable(memory, space, page))!;
    earlier.destroy();
    space.fork();
    const before = memory.pagesInUse;
    store(memory, space, [end]);
    expect(memory.pagesInUse - before).toBe(1);
  });

  it('go on behind pages that are copied already, and in several places at once', () => {
    const { memory, space } = filled();
    const child = space.fork();
    store(memory, child, upTo(PAGES, 512));
    const mixed = upTo(2000).flatMap((page) => [page, page + 4000]);
    expect(store(memory, child, mixed)).toBeLessThan(200);
  });

  it('are of single pages where stores come here and there', () => {
    const { memory, space } = filled();
    const child = space.fork();
    const before = memory.pagesInUse;
    const pages = upTo(PAGES, 3);
    expect(store(memory, child, pages)).toBe(pages.length);
    expect(memory.pagesInUse - before).toBe(pages.length);
  });

  it('are not made of pages that nobody else has any more', () => {
    const { memory, space } = filled();
    const before = memory.pagesInUse;
    space.fork().destroy();
    expect(store(memory, space, upTo(PAGES, 3))).toBeLessThanOrEqual(PAGES / 512);
    expect(memory.pagesInUse).toBe(before);
  });

  it('leave code alone, where stores are to be noticed', () => {
    const { memory, space } = filled();
    space.protect(at(0), at(512), Prot.read | Prot.write | Prot.exec);
    space.fork().destroy();
    expect(store(memory, space, upTo(512))).toBe(512);
  });
});

describe('moving and dropping', () => {
  it('moves pages with their content, replacing existing mappings', () => {
    const { space, map } = setUp();
    map(0, 2);
    map(8, 12);
    write(space, at(1), 'moved');
    write(space, at(9), 'gone!');
    space.move(at(0), at(8), 2 * PAGE, false);
    expect(text(space, at(9), 5)).toBe('moved');
    expect(space.vmas.find(at(0))).toBeNull();
    expect(space.vmas.find(at(10))).not.toBeNull();
  });

  it('keeps an empty mapping with MREMAP_DONTUNMAP', () => {
    const { space, map } = setUp();
    map(0, 1);
    write(space, at(0), 'moved');
    space.move(at(0), at(8), PAGE, true);
    expect(text(space, at(0), 5)).toBe('\0\0\0\0\0');
    expect(text(space, at(8), 5)).toBe('moved');
  });

  it('starts private pages over and keeps shared content on MADV_DONTNEED', () => {
    const { memory, space, map } = setUp();
    map(0, 1);
    map(1, 2, { backing: fileOf(memory, 'file') });
    map(2, 3, { backing: new SharedObject(memory, 'shm') });
    for (const page of [0, 1, 2]) write(space, at(page), 'data');
    space.dropPages(at(0), at(3));
    expect([0, 1, 2].map((page) => text(space, at(page), 4))).toEqual(['\0\0\0\0', 'file', 'data']);
  });

  it('returns every page when it is destroyed', () => {
    const { memory, space, map } = setUp();
    map(0, 600);
    for (let page = 0; page < 600; page += 7) write(space, at(page), 'x');
    space.protect(at(0), at(300), Prot.none);
    space.destroy();
    expect(memory.pagesInUse).toBe(0);
  });
});

describe('shared objects', () => {
  const text4 = (space: AddressSpace, page: number): string => text(space, at(page), 4);

  it('live as long as any part of a split mapping does', () => {
    const { memory, space, map } = setUp();
    const object = new SharedObject(memory, 'shm');
    map(0, 3, { backing: object });
    write(space, at(2), 'kept');
    space.protect(at(1), at(2), Prot.none);
    expect(object.mappings).toBe(3);
    space.unmap(at(0), at(1));
    expect(object.isDestroyed).toBe(false);
    expect(text4(space, 2)).toBe('kept');
    space.unmap(at(0), at(3));
    expect(object.isDestroyed).toBe(true);
  });

  it('survive being mapped over their own last mapping', () => {
    const { memory, space, map } = setUp();
    const object = new SharedObject(memory, 'shm');
    map(0, 1, { backing: object });
    write(space, at(0), 'kept');
    map(0, 1, { backing: object });
    expect(object.isDestroyed).toBe(false);
    expect(text4(space, 0)).toBe('kept');
  });

  it('survive the move of a part', () => {
    const { memory, space, map } = setUp();
    const object = new SharedObject(memory, 'shm');
    map(0, 4, { backing: object });
    write(space, at(1), 'kept');
    space.move(at(1), at(8), PAGE, false);
    expect(text4(space, 8)).toBe('kept');
    expect(object.mappings).toBe(3);
    space.destroy();
    expect(object.isDestroyed).toBe(true);
    expect(memory.pagesInUse).toBe(0);
  });
});

describe('supervisor access', () => {
  it('ignores protection and stops at an unmapped page', () => {
    const { space, map } = setUp();
    map(0, 1, { prot: Prot.none });
    expect(write(space, at(0, PAGE - 2), 'abcd')).toBe(2);
    expect(text(space, at(0, PAGE - 2), 4)).toBe('ab');
    expect(() => space.readU64(at(5), 'a test')).toThrow(/a test/);
  });
});

describe('mappings of 100 GiB', () => {
  const GIB = 2 ** 30 / PAGE;

  it('cost only touched pages and tables', () => {
    const { memory, space, map } = setUp();
    map(0, 100 * GIB);
    const before = memory.pagesInUse;
    for (let gib = 0; gib < 100; gib += 20) write(space, at(gib * GIB, 5), `${gib}`);
    // A page and two tables (of 2 MiB and of 1 GiB) for each of five places.
    expect(memory.pagesInUse - before).toBeLessThanOrEqual(5 * 3 + 1);
    expect(text(space, at(80 * GIB, 5), 2)).toBe('80');
    expect(space.fault(at(99 * GIB), USER_WRITE)).toBe(true);
  });

  it('are protected, forked, moved in parts and dropped at once', () => {
    const { memory, space, map } = setUp();
    map(0, 100 * GIB);
    for (const gib of [0, 50, 99]) write(space, at(gib * GIB), `at ${gib}`);
    const begun = process.cpuUsage();
    space.protect(at(0), at(100 * GIB), Prot.read);
    expect(walk(memory, space.root, at(50 * GIB)).low & Pte.writable).toBe(0);
    const child = space.fork();
    expect(text(child, at(99 * GIB), 5)).toBe('at 99');
    space.move(at(40 * GIB), at(200 * GIB), 20 * 2 ** 30, false);
    expect(text(space, at(210 * GIB), 5)).toBe('at 50');
    expect(space.vmas.find(at(45 * GIB))).toBeNull();
    space.dropPages(at(0), at(40 * GIB));
    expect(text(space, at(0), 2)).toBe('\0\0');
    child.destroy();
    space.destroy();
    expect(memory.pagesInUse).toBe(0);
    expect(process.cpuUsage(begun).user).toBeLessThan(500_000);
  });
});

describe('snapshot', () => {
  function withShared() {
    const { memory, space, map } = setUp();
    const object = new SharedObject(memory, 'shared');
    map(0, 1);
    map(2, 4, { backing: object });
    map(4, 5, { backing: object });
    write(space, at(0), 'private');
    write(space, at(2), 'shared');
    const copies = new Map<SharedObject, SharedObject>();
    const copyOf = (from: SharedObject): SharedObject => {
      const copy = copies.get(from) ?? from.snapshot();
      copies.set(from, copy);
      return copy;
    };
    return { memory, space, object, copyOf, copies };
  }

  it('keeps what private and shared memory held', () => {
    const { space, copyOf } = withShared();
    const copy = space.snapshot(copyOf);
    write(space, at(0), 'PRIVATE');
    write(space, at(2), 'SHARED');
    expect(text(copy, at(0), 7)).toBe('private');
    expect(text(copy, at(2), 6)).toBe('shared');
    expect(text(space, at(4), 6)).toBe('SHARED');
    write(copy, at(4), 'copied');
    expect(text(copy, at(2), 6)).toBe('copied');
    expect(text(space, at(2), 6)).toBe('SHARED');
  });

  it('copies no page until one is touched, and gives all back', () => {
    const { memory, space, copyOf, copies, object } = withShared();
    const before = memory.pagesInUse;
    const copy = space.snapshot(copyOf);
    const tables = memory.pagesInUse - before;
    expect(tables).toBeLessThanOrEqual(4);
    expect(object.mappings).toBe(2);
    expect(copies.get(object)!.mappings).toBe(2);
    copy.destroy();
    expect(memory.pagesInUse).toBe(before);
    expect(text(space, at(2), 6)).toBe('shared');
    write(space, at(2), 'again');
    expect(memory.pagesInUse).toBe(before);
  });

  it('can be taken of a snapshot, page by page', () => {
    const { space, copyOf, copies } = withShared();
    const first = space.snapshot(copyOf);
    copies.clear();
    const second = space.snapshot(copyOf);
    write(space, at(2), 'now');
    write(first, at(2), '1st');
    expect(text(second, at(2), 6)).toBe('shared');
    expect(text(first, at(2), 6)).toBe('1stred');
    expect(text(space, at(2), 6)).toBe('nowred');
  });
});
