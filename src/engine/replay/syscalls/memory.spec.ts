import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { Reg, newRegisters, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { SharedObject, type Backing } from '../../mm/backing.js';
import { Prot } from '../../mm/vma.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import { TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { growMap, mprotectFrame } from './memory.js';

const PAGE = 4096;
const GROWSDOWN = 0x0100_0000;
const memory = (): GuestMemory => new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);

function setUp() {
  const pages = memory();
  const space = new AddressSpace(pages, { low: 0, high: 0 });
  const task = new Task(1, 1, space, new FdTable(), new ThreadGroup(1, null));
  const map = (page: number, end: number, name = '', backing: Backing | null = null): void => {
    const range = { start: (page * PAGE) as Gva, end: (end * PAGE) as Gva };
    space.map({ ...range, prot: Prot.read, backing, offset: 0, name, file: null });
  };
  const mprotect = (page: number, pages: number, prot: number, result: number): void => {
    const frame = new TraceFrame();
    const registers = newRegisters();
    setSigned(registers, Reg.rdi, page * PAGE);
    setSigned(registers, Reg.rsi, pages * PAGE);
    setSigned(registers, Reg.rdx, prot);
    setSigned(registers, Reg.rax, result);
    frame.registers.set(registers);
    mprotectFrame({} as ReplayCore, task, frame);
  };
  const writable = (): number[] =>
    [...space.vmas].flatMap(({ start, end, prot }) =>
      prot & Prot.write ? Array.from({ length: (end - start) / PAGE }, (_, i) => start / PAGE + i) : [],
    );
  return { task, map, mprotect, writable, shared: () => new SharedObject(pages, 'shared') };
}

describe('mprotect as recorded', () => {
  it('changes what comes before a gap although it failed there', () => {
    const { map, mprotect, writable } = setUp();
    map(16, 18);
    map(19, 20);
    mprotect(16, 4, Prot.read | Prot.write, -12);
    expect(writable()).toEqual([16, 17]);
  });

  it('changes pages before the mapping that may not be written, and none after it', () => {
    const { map, mprotect, writable, shared } = setUp();
    map(16, 17);
    map(17, 18, '/file', shared());
    map(18, 19);
    mprotect(16, 3, Prot.read | Prot.write, -13);
    expect(writable()).toEqual([16]);
  });

  it('changes nothing where its arguments were refused', () => {
    const { map, mprotect, writable } = setUp();
    map(16, 18);
    mprotect(17, 1, Prot.write | GROWSDOWN, -22);
    expect(writable()).toEqual([]);
  });

  it('with PROT_GROWSDOWN reaches down through all that the mapping has grown by', () => {
    const { task, map, mprotect, writable } = setUp();
    map(10, 11, 'other');
    map(16, 18);
    const grow = (start: number, end: number): void => {
      const record = { start: start * PAGE, end: end * PAGE, prot: Prot.read, fsname: '' };
      growMap({ requireMapping: () => record } as unknown as ReplayCore, task, new TraceFrame());
    };
    grow(14, 16);
    grow(11, 14);
    mprotect(17, 1, Prot.read | Prot.write | GROWSDOWN, 0);
    expect(writable()).toEqual([11, 12, 13, 14, 15, 16, 17]);
  });
});
