import { describe, expect, it } from 'vitest';
import { gpa, type Gpa, type Gva } from '../base/address.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { Pte } from '../kvm/page-tables.js';
import { AddressSpace } from './address-space.js';
import { PageFault } from '../x86/constants.js';
import { Content } from './content.js';
import { Originals } from './originals.js';
import { Prot } from './vma.js';

const PAGE = 4096;
const BASE = 0x7f00_0000_0000 as Gva;
const FETCH = PageFault.user | PageFault.fetch;
const WRITE = PageFault.user | PageFault.write | PageFault.present;
const WRITABLE = 2;
/** xsave64 0x40(%rsp) between other instructions, and the same bytes as a MOV's immediate. */
const CODE = Buffer.from('4889e541574883ec18909031c0488d7c2408480fae64244031c090b80fae2424c3', 'hex');
const SITE = CODE.indexOf('480fae64', 0, 'hex');

function setUp(prot: number = Prot.read | Prot.write | Prot.exec) {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 4 * 2 ** 20);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 }, { xsave: true, cpuid: false });
  const end = (BASE + 4 * PAGE) as Gva;
  space.map({ start: BASE, end, prot, backing: null, offset: 0, name: '', file: null });
  space.write((BASE + 100) as Gva, CODE);
  return { memory, space };
}

function entryOf(memory: GuestMemory, root: Gpa, at: Gva): { page: Gpa; bytes: Buffer; hides: boolean } {
  let table = root as number;
  for (const size of [2 ** 39, 2 ** 30, 2 ** 21]) {
    table = (memory.words[table / 4 + (Math.floor(at / size) % 512) * 2] & ~0xfff) >>> 0;
  }
  const low = memory.words[table / 4 + (Math.floor(at / PAGE) % 512) * 2];
  const page = gpa((low & ~0xfff) >>> 0);
  const bytes = Buffer.from(memory.bytes.subarray(page, page + PAGE));
  return { page, bytes, hides: (low & Pte.hides) !== 0 };
}

/** What the processor has at the page: its bytes, and whether it may write and execute. */
function mapped(
  memory: GuestMemory,
  space: AddressSpace,
): { bytes: Buffer; writable: boolean; executable: boolean } {
  let table = space.root as number;
  for (const size of [2 ** 39, 2 ** 30, 2 ** 21]) {
    table = (memory.words[table / 4 + (Math.floor(BASE / size) % 512) * 2] & ~0xfff) >>> 0;
  }
  const entry = table / 4 + (Math.floor(BASE / PAGE) % 512) * 2;
  const page = (memory.words[entry] & ~0xfff) >>> 0;
  return {
    bytes: Buffer.from(memory.bytes.subarray(page + 100, page + 100 + CODE.length)),
    writable: (memory.words[entry] & WRITABLE) !== 0,
    executable: memory.words[entry + 1] >>> 31 === 0,
  };
}

const engineSees = (space: AddressSpace): Buffer =>
  Buffer.from(space.readExactly((BASE + 100) as Gva, CODE.length, 'code'));

describe('code that is hidden', () => {
  it('traps only at the instruction; the engine sees the original', () => {
    const { memory, space } = setUp();
    expect(mapped(memory, space)).toMatchObject({ executable: false });
    expect(space.fault(BASE, FETCH)).toBe(true);
    const shown = mapped(memory, space);
    expect(shown).toMatchObject({ executable: true, writable: false });
    const expected = Buffer.from(CODE);
    expected[SITE + 2] = 0x0b; // REX.W UD2
    expect(shown.bytes).toEqual(expected);
    expect(engineSees(space)).toEqual(CODE);
  });

  it('is scanned again after a store by the program or the engine', () => {
    const { memory, space } = setUp();
    space.fault(BASE, FETCH);
    expect(space.fault((BASE + 100) as Gva, WRITE)).toBe(true);
    expect(mapped(memory, space)).toEqual({ bytes: CODE, writable: true, executable: false });
    space.fault(BASE, FETCH);
    space.stale.clear();
    space.write((BASE + 100 + SITE) as Gva, Buffer.from('9090909090', 'hex'));
    expect(space.stale.isEmpty).toBe(false);
    expect(mapped(memory, space)).toMatchObject({ executable: false });
    space.fault(BASE, FETCH);
    expect(mapped(memory, space).bytes).toEqual(engineSees(space));
  });

  it('stays hidden in forks, and only the processor sees the copy there, too', () => {
    const { memory, space } = setUp();
    space.fault(BASE, FETCH);
    const child = space.fork();
    for (const one of [space, child]) {
      expect(mapped(memory, one)).toMatchObject({ executable: true, writable: false });
      expect(mapped(memory, one).bytes).not.toEqual(CODE);
      expect(engineSees(one)).toEqual(CODE);
    }
    child.write((BASE + 100) as Gva, Buffer.from('c3', 'hex'));
    expect(engineSees(child)[0]).toBe(0xc3);
    expect(mapped(memory, child)).toMatchObject({ executable: false, bytes: engineSees(child) });
    expect(engineSees(space)).toEqual(CODE);
    expect(mapped(memory, space).executable).toBe(true);
    child.destroy();
    space.destroy();
    expect(memory.pagesInUse).toBe(0);
  });

  it('is invisible to comparisons, digests and copies of memory', () => {
    const { memory, space } = setUp();
    const other = space.fork();
    space.fault(BASE, FETCH);
    const content = new Content(memory);
    const nowhere = 0 as Gva;
    expect(content.isSame(space, other, nowhere)).toBe(true);
    expect(content.isSame(other, space, nowhere)).toBe(true);
    const changed = (): Record<number, string> => {
      const pages: Record<number, string> = {};
      content.visitChanged(space, (gva, bytes) => (pages[gva] = Buffer.from(bytes).toString('hex')));
      return pages;
    };
    const kept: number[] = [];
    content.visitChangedPrivate(space, (_gva, page) => kept.push(page));
    expect(changed()[BASE].slice(200, 200 + 2 * CODE.length)).toBe(CODE.toString('hex'));
    expect(kept).toEqual([other.residentPage(BASE)]);
    expect(space.residentPage((BASE + 100) as Gva)).toBe(other.residentPage(BASE));
    other.write((BASE + 100) as Gva, Buffer.from('c3', 'hex'));
    expect(content.isSame(space, other, nowhere)).toBe(false);
  });

  it('goes with its page', () => {
    const { memory, space } = setUp(Prot.read | Prot.exec);
    const before = memory.pagesInUse;
    space.fault(BASE, FETCH);
    const child = space.fork();
    child.protect(BASE, (BASE + PAGE) as Gva, Prot.read);
    expect(mapped(memory, child)).toMatchObject({ bytes: CODE, executable: false });
    child.destroy();
    space.unmap(BASE, (BASE + 4 * PAGE) as Gva);
    expect(memory.pagesInUse).toBeLessThan(before);
    space.destroy();
    expect(memory.pagesInUse).toBe(0);
  });
});

describe('approximations', () => {
  /** rcpps %xmm1, %xmm0; vrsqrtss %xmm1, %xmm0, %xmm0. */
  const APPROXIMATE = Buffer.from('4889e5415748909031c0488d7c24080f53c148ffc0c5fa52c14889c75553c3', 'hex');

  function approximate(prot: number, code: Buffer) {
    const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 4 * 2 ** 20);
    const kinds = { xsave: false, cpuid: false, approximations: true };
    const space = new AddressSpace(memory, { low: 0x15003, high: 0, reserved: null }, kinds);
    const end = (BASE + 4 * PAGE) as Gva;
    const vma = { start: BASE, end, backing: null, offset: 0, name: '', file: null };
    space.map({ ...vma, prot: Prot.read | Prot.write });
    space.write((BASE + 100) as Gva, code);
    space.protect(BASE, end, prot);
    return { memory, space };
  }

  it('are hidden, and the service finds the page that the program has', () => {
    const { memory, space } = approximate(Prot.read | Prot.exec, APPROXIMATE);
    expect(mapped(memory, space)).toMatchObject({ executable: false });
    expect(space.fault(BASE, FETCH)).toBe(true);
    const expected = Buffer.from(APPROXIMATE);
    expected[APPROXIMATE.indexOf('0f53', 0, 'hex') + 1] = 0x0b;
    expected[APPROXIMATE.indexOf('c5fa52', 0, 'hex') + 2] = 0x0b;
    const { bytes, page, hides } = entryOf(memory, space.root, BASE);
    expect(bytes.subarray(100, 100 + expected.length)).toEqual(expected);
    expect(hides).toBe(true);
    const original = entryOf(memory, Originals.of(memory).root, page as number as Gva);
    expect(original.bytes.subarray(100, 100 + expected.length)).toEqual(APPROXIMATE);
  });

  it('cost nothing where a page has none, or stays writable', () => {
    const none = approximate(Prot.read | Prot.exec, CODE);
    expect(mapped(none.memory, none.space)).toMatchObject({ executable: true });
    const writable = approximate(Prot.read | Prot.write | Prot.exec, APPROXIMATE);
    expect(mapped(writable.memory, writable.space)).toMatchObject({ executable: true, writable: true });
  });
});
