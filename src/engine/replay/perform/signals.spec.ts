import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { Reg, getSigned, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { Prot } from '../../mm/vma.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { writeRseqCpu } from './signals.js';
import { abortRestartableSequence } from '../../guest/rseq.js';

const AREA = 0x10_0000 as Gva;
const SECTION = (AREA + 64) as Gva;
const CODE = 0x40_0000n;
const ABORT = (AREA + 0x200) as Gva;
const SIGNATURE = 0x5305_3053;

/** A task with a registered area whose sequence is `length` bytes from `start`. */
function setUp({ maxVirtualAddressSize = 47, start = CODE, length = 32n, abort = BigInt(ABORT) } = {}) {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0, high: 0 });
  const end = (AREA + 4096) as Gva;
  space.map({ start: AREA, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
  const task = new Task(1, 1, space, new FdTable(), new ThreadGroup(1, null));
  task.rseq = { pointer: AREA, signature: SIGNATURE };
  const words = (at: Gva, ...values: bigint[]): unknown =>
    space.write(at, new Uint8Array(BigUint64Array.from(values).buffer));
  words(AREA, 0x00ff_00ff_00ff_00ffn, BigInt(SECTION), 0n);
  words(SECTION, 0n, start, length, abort);
  space.write((ABORT - 4) as Gva, new Uint8Array(Uint32Array.of(SIGNATURE).buffer));
  const header = { maxVirtualAddressSize, bindToCpu: 3 };
  const core = { header, registers: () => task.registers } as unknown as ReplayCore;
  const abortAt = (rip: bigint): number => {
    setSigned(task.registers, Reg.rip, Number(rip));
    abortRestartableSequence(core, task, 'signal');
    return getSigned(task.registers, Reg.rip);
  };
  return { core, task, abortAt };
}

describe('a restartable sequence that is interrupted', () => {
  it('continues at its abort handler', () => {
    const { abortAt } = setUp();
    expect(abortAt(CODE)).toBe(ABORT);
    expect(abortAt(CODE + 31n)).toBe(ABORT);
    expect(abortAt(CODE + 32n)).toBe(Number(CODE + 32n));
    expect(abortAt(CODE - 1n)).toBe(Number(CODE - 1n));
  });

  it('is not changed if the kernel would refuse it', () => {
    const start = BigInt(ABORT) - 8n;
    expect(setUp({ start }).abortAt(start)).toBe(Number(start));
    const wraps = setUp({ length: 2n ** 64n - 1n });
    expect(wraps.abortAt(CODE)).toBe(Number(CODE));
  });
});

describe('the CPU number in the area', () => {
  it('is written when another task ran, as recorders from 5.9 on do', () => {
    const { core, task } = setUp();
    writeRseqCpu(core, task);
    expect(task.space.readU64(AREA, 'the area')).toBe(0x3_0000_0003n);
  });

  it('stays what the program made of it with earlier recorders', () => {
    const { core, task } = setUp({ maxVirtualAddressSize: 0 });
    writeRseqCpu(core, task);
    expect(task.space.readU64(AREA, 'the area')).toBe(0x00ff_00ff_00ff_00ffn);
  });
});
