import { expect, it } from 'vitest';
import { gpa, type Gva } from '../base/address.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { AddressSpace } from './address-space.js';
import { Content } from './content.js';
import { Prot } from './vma.js';

const BASE = 0x7f00_0000_0000 as Gva;
const BESIDE = 0x6f00_0000_0000 as Gva;

it('pages beside the mappings are nothing that a program would read', () => {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 4 * 2 ** 20);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const end = (BASE + 0x4000) as Gva;
  space.map({
    start: BASE,
    end,
    prot: Prot.read | Prot.write,
    backing: null,
    offset: 0,
    name: '',
    file: null,
  });
  space.write(BASE, Buffer.from('something'));
  const then = space.fork();
  space.beside.show(BESIDE, memory.allocate(), { writable: false, executable: true });
  const content = new Content(memory);
  expect(content.isSame(space, then, null)).toBe(true);
  expect(content.isSame(then, space, null)).toBe(true);
  space.write(BASE, Buffer.from('S'));
  expect(content.isSame(space, then, null)).toBe(false);
});
