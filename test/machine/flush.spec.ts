/** Entries of page tables that change while the processor has translations of them: only what is asked for is flushed. */
import { describe, expect, it } from 'vitest';
import { gva, PAGE_SIZE, type Gpa, type Gva } from '../../src/engine/base/address.js';
import { getUnsigned, Reg, setSigned } from '../../src/engine/base/registers.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { GuestMemory } from '../../src/engine/kvm/guest-memory.js';
import { MOST_FLUSHED, Selector } from '../../src/engine/kvm/layout.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { AddressSpace } from '../../src/engine/mm/address-space.js';
import { Prot } from '../../src/engine/mm/vma.js';
import { makeMachine } from '../kvm/guest.js';
import { machinesHere } from '../machines.js';

const CODE = gva(0x40_0000);
const DATA = gva(0x50_0000);
const PAGES = 2 * MOST_FLUSHED;
const MEMORY = 16 * 2 ** 20;
/** mov (%rdi), %rax; int3 */
const LOAD = Uint8Array.of(0x48, 0x8b, 0x07, 0xcc);

const page = (number: number): Gva => gva(DATA + number * PAGE_SIZE);

function spaceOf(machine: Machine): { memory: GuestMemory; space: AddressSpace } {
  const memory = new GuestMemory(machine.pool, machine.firstFree, MEMORY, (at) =>
    machine.codeWritten(at, PAGE_SIZE),
  );
  const { kernelPml4Low: low, kernelPml4High: high, reserved } = machine;
  const space = new AddressSpace(memory, { low, high, reserved });
  const map = (start: Gva, pages: number, prot: number): void =>
    space.map({
      ...{ start, end: gva(start + pages * PAGE_SIZE), prot },
      ...{ backing: null, offset: 0, name: '', file: null },
    });
  map(CODE, 1, Prot.read | Prot.exec);
  map(DATA, PAGES, Prot.read | Prot.write);
  space.write(CODE, LOAD);
  return { memory, space };
}

/** What the program reads at an address. */
function load(machine: Machine, at: Gva): number {
  const { registers } = machine.context;
  registers.fill(0);
  setSigned(registers, Reg.rip, CODE);
  setSigned(registers, Reg.cs, Selector.userCs);
  setSigned(registers, Reg.ss, Selector.userSs);
  setSigned(registers, Reg.eflags, 0x202);
  setSigned(registers, Reg.rdi, at);
  machine.context.requestFsGsBase();
  let exit: Exit = Exit.Pending;
  while (exit === Exit.Pending) exit = machine.run(1_000_000);
  expect([exit, machine.context.vector]).toEqual([Exit.Exception, 3]);
  return getUnsigned(registers, Reg.rax);
}

describe.each(machinesHere(64))('in %s', (_, open) => {
  it.each([1, MOST_FLUSHED, PAGES])('%d pages that were replaced are seen', async (count) => {
    const transport = await open();
    try {
      const machine = makeMachine(transport);
      const { memory, space } = spaceOf(machine);
      for (let n = 0; n < PAGES; n++) space.write(page(n), Uint8Array.of(n + 1));
      machine.context.requestCr3(space.root);
      space.stale.clear();
      const seen = (): number[] => Array.from({ length: PAGES }, (_, n) => load(machine, page(n)));
      const before = Array.from({ length: PAGES }, (_, n) => n + 1);
      expect(seen()).toEqual(before);
      for (let n = 0; n < count; n++) {
        const other: Gpa = memory.allocate();
        memory.bytes[other] = 100 + n;
        space.pinPage(page(n), other);
      }
      space.stale.flushBy(machine.context);
      expect(seen()).toEqual(before.map((value, n) => (n < count ? 100 + n : value)));
      machine.leaveAddressSpace();
    } finally {
      transport.close();
    }
  });
});
