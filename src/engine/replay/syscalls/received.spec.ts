import { expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, newRegisters, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { Prot } from '../../mm/vma.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { warnOfReceived } from './received.js';

const BASE = 0x10_0000 as Gva;
const RRCALL_BASE = 1000;
const [SCM_RIGHTS, SCM_CREDENTIALS] = [1, 2];

/** Warnings after a call with a struct msghdr at BASE whose control messages have these types. */
function warningsAfter(number: number, types: number[], length = 20): string[] {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0, high: 0 });
  const end = (BASE + 4096) as Gva;
  space.map({ start: BASE, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
  const bytes = Buffer.alloc(56 + 24 * types.length);
  bytes.writeBigUInt64LE(BigInt(BASE + 56), 32);
  bytes.writeBigUInt64LE(BigInt(24 * types.length), 40);
  types.forEach((type, index) => {
    const at = 56 + 24 * index;
    bytes.writeBigUInt64LE(BigInt(length), at);
    bytes.writeInt32LE(1, at + 8);
    bytes.writeInt32LE(type, at + 12);
  });
  space.write(BASE, bytes);
  const task = new Task(10, 1, space, new FdTable(), new ThreadGroup(10, null));
  const warnings: string[] = [];
  const core = {
    header: { rrcallBase: RRCALL_BASE },
    warnOnce: (_: string, message: string) => warnings.push(message),
  } as unknown as ReplayCore;
  const registers = newRegisters();
  setSigned(registers, number === Sys.recvmsg ? Reg.rsi : Reg.rdi, BASE);
  warnOfReceived(core, task, number, registers);
  return warnings;
}

it('descriptors that a call received, or that the library says a buffered one did, are warned about', () => {
  for (const number of [Sys.recvmsg, RRCALL_BASE + 3])
    expect(warningsAfter(number, [SCM_CREDENTIALS, SCM_RIGHTS])[0]).toMatch(/^Task 10 received descriptors/);
});

it('other messages, other calls and damaged lengths are not', () => {
  expect(warningsAfter(Sys.recvmsg, [SCM_CREDENTIALS])).toEqual([]);
  expect(warningsAfter(Sys.recvmsg, [])).toEqual([]);
  expect(warningsAfter(Sys.read, [SCM_RIGHTS])).toEqual([]);
  expect(warningsAfter(Sys.recvmsg, [SCM_CREDENTIALS, SCM_RIGHTS], 0)).toEqual([]);
});
