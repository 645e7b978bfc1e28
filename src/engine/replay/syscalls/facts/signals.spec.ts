import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../../base/address.js';
import { Sys } from '../../../base/linux.js';
import { Reg, newRegisters, setSigned } from '../../../base/registers.js';
import { GuestMemory } from '../../../kvm/guest-memory.js';
import { AddressSpace } from '../../../mm/address-space.js';
import { Prot } from '../../../mm/vma.js';
import { FdTable } from '../../../task/fd-table.js';
import { REAL_TIMER } from '../../../task/recorded-signals.js';
import { signalBit } from '../../../task/signal-state.js';
import { Task, ThreadGroup } from '../../../task/task.js';
import type { ReplayCore } from '../../state/core.js';
import { noteFiles } from './files.js';
import { noteEnd } from './signals.js';

const BASE = 0x10_0000 as Gva;
const SLOTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];
const [USR1, REALTIME, CHLD] = [10, 34, 17];

/** A process of two threads, 10 and 11, and its child 20; calls of thread 10 that have returned. */
function setUp() {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0, high: 0 });
  const end = (BASE + 4096) as Gva;
  space.map({ start: BASE, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
  const table = new FdTable();
  const parent = new ThreadGroup(10, null);
  const tasks = [10, 11].map((tid) => new Task(tid, tid, space, table, parent));
  tasks.push(new Task(20, 20, space, table, new ThreadGroup(20, parent)));
  const core = { tasks: new Map(tasks.map((task) => [task.tid, task])) } as unknown as ReplayCore;
  const [first, second, child] = tasks;
  return {
    ...{ first, second, child },
    signals: first.fds.files.world.signals,
    words: (at: number, ...values: bigint[]): number => {
      space.write((BASE + at) as Gva, new Uint8Array(new BigInt64Array(values).buffer));
      return BASE + at;
    },
    call: (number: number, args: number[], result = 0, seconds = 0): void => {
      const registers = newRegisters();
      args.forEach((value, index) => setSigned(registers, SLOTS[index], value));
      noteFiles(core, first, number, registers, result, seconds, false);
    },
  };
}

describe('signals that wait', () => {
  it('are those that all threads block, until one takes them', () => {
    const { first, second, signals, call } = setUp();
    first.signalMask = signalBit(USR1);
    call(Sys.kill, [10, USR1]);
    expect(signals.pending).toEqual([]);
    call(Sys.tgkill, [10, 10, USR1]);
    call(Sys.tgkill, [10, 10, USR1]);
    expect(signals.pending).toMatchObject([{ pid: 10, tid: 10, number: USR1 }]);
    second.signalMask = first.signalMask;
    call(Sys.kill, [10, USR1]);
    expect(signals.pending).toHaveLength(2);
    call(Sys.rt_sigtimedwait, [0, 0, 0, 8], USR1);
    expect(signals.pending).toMatchObject([{ pid: 10, tid: 0, number: USR1 }]);
    signals.taken(10, 11, USR1);
    expect(signals.pending).toEqual([]);
  });

  it('queue with their values if they are real-time ones', () => {
    const { first, second, signals, call, words } = setUp();
    first.signalMask = second.signalMask = signalBit(REALTIME);
    for (const value of [5n, 6n]) call(Sys.rt_sigqueueinfo, [10, REALTIME, words(0, 0n, 0n, 0n, value)]);
    expect(signals.pending.map(({ info }) => info[24])).toEqual([5, 6]);
  });

  it('are what the kernel says', () => {
    const { first, signals, call, words } = setUp();
    first.signalMask = signalBit(USR1);
    call(Sys.tkill, [10, USR1]);
    call(Sys.rt_sigpending, [words(0, signalBit(12))]);
    expect(signals.pending.map(({ number }) => number)).toEqual([12]);
  });

  it('notify a parent of the exit of its child', () => {
    const { first, second, child, signals } = setUp();
    noteEnd(child, 3 << 8);
    expect(signals.pending).toEqual([]);
    first.signalMask = second.signalMask = signalBit(CHLD);
    noteEnd(child, 3 << 8);
    expect(signals.pending).toMatchObject([{ pid: 10, tid: 0, number: CHLD }]);
    expect(new DataView(signals.pending[0].info.buffer).getInt32(24, true)).toBe(3);
  });
});

it('a task is stopped when its parent is notified, until SIGCONT', () => {
  const { child, call, words } = setUp();
  call(Sys.wait4, [-1, words(0, 0x137fn), 2, 0], 20);
  expect(child.stopped).toBe(true);
  call(Sys.kill, [20, 18]);
  expect(child.stopped).toBe(false);
});

it('timers are known by their calls', () => {
  const { signals, call, words } = setUp();
  call(Sys.alarm, [5], 0, 1.5);
  call(Sys.timer_create, [1, words(0, 7n, 36n), words(64, 3n)]);
  call(Sys.timer_settime, [3, 1, words(0, 0n, 5n, 2n, 1n), 0], 0, 2);
  expect(signals.timers).toMatchObject([
    { pid: 10, id: REAL_TIMER, first: 5_000_000_000n, armedAt: 1.5 },
    { pid: 10, id: 3, signal: 36, value: 7n, first: 2_000_000_001n, interval: 5n, isAbsolute: true },
  ]);
  call(Sys.timer_delete, [3]);
  signals.ended(10, 10);
  expect(signals.timers).toEqual([]);
});
