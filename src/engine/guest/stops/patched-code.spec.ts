import { expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { Prot, STUBS_NAME } from '../../mm/vma.js';
import { patchAround, patchBefore } from './patched-code.js';

const PAGE = 4096;
const CODE = 0x40_0000;
const STUBS = 0x50_0000;

/** `jmp STUBS + 0x5e` followed by `nops` at an address, and a `jmp` elsewhere in front of it. */
function setUp(at: number, nops: number): AddressSpace {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 4 * 2 ** 20);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const map = (start: number, pages: number, name: string): void =>
    space.map({
      start: start as Gva,
      end: (start + pages * PAGE) as Gva,
      prot: Prot.read | Prot.exec,
      backing: null,
      offset: 0,
      name,
      file: null,
    });
  map(CODE, 2, '/bin/x');
  map(STUBS, 1, STUBS_NAME);
  const jump = (from: number, to: number): Buffer => {
    const bytes = Buffer.alloc(5, 0xe9);
    bytes.writeInt32LE(to - (from + 5), 1);
    return bytes;
  };
  if (at >= CODE + 8) space.write((at - 5) as Gva, jump(at - 5, CODE + 0x1000));
  space.write(
    at as Gva,
    Buffer.concat([jump(at, STUBS + 0x5e), Buffer.alloc(nops, 0x90), Buffer.from('c3', 'hex')]),
  );
  return space;
}

it.each([
  [CODE + 0x100, 3],
  [CODE, 0],
  [CODE + PAGE - 3, 1],
])('finds the jump to a stub at %i followed by %i NOPs', (at, nops) => {
  const space = setUp(at, nops);
  const patch = { start: at, end: at + 5 + nops };
  for (let inside = at; inside < patch.end; inside++)
    expect(patchAround(space, inside as Gva)).toEqual(patch);
  expect(patchAround(space, patch.end as Gva)).toBeNull();
  expect(patchBefore(space, patch.end as Gva)).toEqual(patch);
  expect(patchBefore(space, (patch.end + 1) as Gva)).toBeNull();
  expect(patchAround(space, (at - 1) as Gva)).toBeNull();
});

it('takes no other jump for one, and nothing in a program that was not patched', () => {
  const space = setUp(CODE + 0x100, 3);
  expect(patchAround(space, (CODE + 0xfd) as Gva)).toBeNull();
  space.unmap(STUBS as Gva, (STUBS + PAGE) as Gva);
  expect(patchAround(space, (CODE + 0x102) as Gva)).toBeNull();
});
