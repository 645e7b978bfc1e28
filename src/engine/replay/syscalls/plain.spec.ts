import { describe, expect, it } from 'vitest';
import { gpa } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import { Arch, EventKind, SyscallState, TraceFrame } from '../../trace/frame.js';
import { isPlainCall } from './plain.js';

const TID = 10;
const ENOSYS = -38;
const STDOUT = 1;
const memory = new GuestMemory(new ArrayBuffer(2 ** 20), gpa(0x40000), 2 ** 19);
const space = new AddressSpace(memory, { low: 0, high: 0 });
const task = new Task(TID, 1, space, new FdTable(), new ThreadGroup(TID, null));

type Changes = Partial<TraceFrame> & { values?: Partial<Record<keyof typeof Reg, number>> };

function frameOf(state: number, number: number, result: number, { values, ...changes }: Changes): TraceFrame {
  const frame = Object.assign(
    new TraceFrame(),
    { tid: TID, kind: EventKind.syscall, hasRegisters: true, syscallNumber: number, syscallState: state },
    changes,
  );
  const registers = { rip: 0x7f00_1234, rdi: 5, orig_rax: number, rax: result, ...values };
  for (const [name, value] of Object.entries(registers))
    setSigned(frame.registers, Reg[name as keyof typeof Reg], value);
  return frame;
}

function isPlain(number: number, onEntry: Changes = {}, onExit: Changes = {}, result = 0): boolean {
  const entry = frameOf(SyscallState.entering, number, ENOSYS, onEntry);
  // What both have, the exit has, too.
  const values = { ...onEntry.values, ...onExit.values };
  return isPlainCall(task, entry, frameOf(SyscallState.exiting, number, result, { ...onExit, values }));
}

const write = (changes = {}) => ({
  memWriteCount: 1,
  memWrites: [
    {
      ...{ tid: TID, addressLow: 0x1000, addressHigh: 0, size: 8, sizeIsConservative: false },
      ...{ holes: [], holeBytes: 0, dataOffset: 0, ...changes },
    },
  ],
});

describe('a plain call', () => {
  it.each(['getpid', 'read', 'lseek', 'clock_gettime', 'futex', 'poll'])('%s', (name) => {
    const numbers: Record<string, number> = { getpid: 39, clock_gettime: 228, futex: 202, poll: 7 };
    expect(isPlain(numbers[name] ?? Sys[name as keyof typeof Sys])).toBe(true);
  });

  it('may fail, and store what was recorded', () => {
    expect(isPlain(Sys.read, {}, {}, -11)).toBe(true);
    expect(isPlain(Sys.read, {}, write(), 8)).toBe(true);
  });

  it('may write to untracked descriptors', () => {
    expect(isPlain(Sys.write)).toBe(true);
    expect(isPlain(Sys.write, { values: { rdi: STDOUT } })).toBe(false);
  });
});

describe('not a plain call', () => {
  it.each([
    ...[
      'mmap',
      'munmap',
      'brk',
      'mprotect',
      'madvise',
      'rt_sigreturn',
      'clone',
      'fork',
      'execve',
      'exit_group',
    ],
    ...['close', 'dup2', 'fcntl', 'rt_sigaction', 'rt_sigprocmask', 'prctl', 'ptrace'],
  ])('%s', (name) => {
    expect(isPlain(Sys[name as keyof typeof Sys])).toBe(false);
  });

  it.each(['openat', 'pipe2', 'read', 'write', 'newfstatat', 'unlink', 'epoll_ctl', 'recvmsg'] as const)(
    '%s, if diversions need its effects',
    (name) => {
      const { entering, exiting } = SyscallState;
      const [entry, exit] = [entering, exiting].map((state) => frameOf(state, Sys[name], ENOSYS, {}));
      expect(isPlainCall(task, entry, exit)).toBe(true);
      expect(isPlainCall(task, entry, exit, true)).toBe(false);
    },
  );

  it("the recorder's own", () => expect(isPlain(1001)).toBe(false));

  it.each<[string, Changes, Changes]>([
    ['another task between', {}, { tid: TID + 1 }],
    ['another call between', {}, { syscallNumber: Sys.write }],
    ['two entries', {}, { syscallState: SyscallState.entering }],
    ['no system call', {}, { kind: EventKind.sched }],
    ['a 32-bit call', { syscallArch: Arch.x86 }, {}],
    ['stores at the entry', write(), {}],
    ['vector state', {}, { extraRegisters: new Uint8Array(832) }],
    ['more than a result', {}, { extra: { kind: 'openedFds', fds: [] } }],
    ['a register that changes', {}, { values: { rdx: 9 } }],
    ['a call that was filtered', {}, { values: { orig_rax: -1 } }],
    ['a call from the rr page', { values: { rip: 0x7000_0008 } }, {}],
    ["stores to another task's memory", {}, write({ tid: TID + 1 })],
    ['a store of a guessed size', {}, write({ sizeIsConservative: true })],
    ['a store beyond user space', {}, write({ addressHigh: 0x8000 })],
  ])('%s', (_, onEntry, onExit) => {
    expect(isPlain(Sys.read, onEntry, onExit)).toBe(false);
  });

  it('one that will be restarted', () => expect(isPlain(Sys.read, {}, {}, -512)).toBe(false));
});
