import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, newRegisters, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { Prot } from '../../mm/vma.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import type { SyscallExtra } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { trackDescriptors } from './io.js';

const BASE = 0x10_0000 as Gva;
const PAGE = 4096;

/** One task per tid, each with two pages at BASE; echoed output goes to `shown`. */
function setUp({ explicitProcMem = false, tids = [10, 20] } = {}) {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const shown: string[] = [];
  const warnings: string[] = [];
  const tasks = new Map<number, Task>();
  for (const tid of tids) {
    const space = new AddressSpace(memory, { low: 0, high: 0 });
    const end = (BASE + 2 * PAGE) as Gva;
    space.map({ start: BASE, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
    tasks.set(tid, new Task(tid, 1, space, new FdTable(), new ThreadGroup(tid, null)));
  }
  const core = {
    tasks,
    header: { quirks: { explicitProcMem }, rrcallBase: 1000 },
    warnOnce: (_: string, message: string) => warnings.push(message),
    output: (stream: number, bytes: Uint8Array) => shown.push(`${stream}:${Buffer.from(bytes).toString()}`),
  } as unknown as ReplayCore;
  const task = tasks.get(tids[0])!;
  const call = (
    number: number,
    args: number[],
    result: number,
    extra: SyscallExtra = { kind: 'none' },
  ): void => {
    const registers = newRegisters();
    const slots = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10];
    args.forEach((value, index) => setSigned(registers, slots[index], value));
    trackDescriptors(core, task, number, registers, result, extra);
  };
  const opened = (fd: number, path: string): SyscallExtra => ({
    kind: 'openedFds',
    fds: [{ fd, device: 0n, inode: 0n, path }],
  });
  const textAt = (tid: number, at: number, size: number): string => {
    const bytes = new Uint8Array(size);
    tasks.get(tid)!.space.read(at as Gva, bytes);
    return Buffer.from(bytes).toString();
  };
  task.space.write(BASE, Buffer.from('hello, world'));
  const place = (at: number, bytes: Uint8Array): void => void task.space.write(at as Gva, bytes);
  /** openat of an absolute path. */
  const open = (path: string, flags: number, result: number, extra?: SyscallExtra): void => {
    place(BASE + PAGE, Buffer.from(`${path}\0`));
    call(Sys.openat, [-100, BASE + PAGE, flags], result, extra);
  };
  return { call, open, opened, place, shown, task, textAt, warnings };
}

describe('shown output', () => {
  it('is what was written, with the length of the result, to descriptors of the terminal', () => {
    const { call, shown } = setUp();
    call(Sys.write, [1, BASE, 12], 5);
    call(Sys.pwrite64, [2, BASE, 5, 0], 5);
    call(Sys.write, [3, BASE, 12], 12);
    call(Sys.write, [1, BASE, 12], -11);
    expect(shown).toEqual(['1:hello', '2:hello']);
  });

  it('follows duplicates, closing by any means and redirection', () => {
    const { call, opened, shown } = setUp();
    call(Sys.dup, [1], 7);
    call(Sys.fcntl, [7, 0, 50], 50);
    call(Sys.dup2, [5, 1], 1);
    call(Sys.write, [1, BASE, 12], 12);
    call(Sys.write, [50, BASE, 2], 2);
    call(Sys.close_range, [40, 60, 4], 0);
    call(Sys.write, [50, BASE, 2], 2);
    call(Sys.close_range, [40, 60, 0], 0);
    call(Sys.write, [50, BASE, 2], 2);
    call(257, [], 7, opened(7, '/tmp/file'));
    call(Sys.write, [7, BASE, 2], 2);
    expect(shown).toEqual(['1:he', '1:he']);
  });
});

it('shows writes to descriptors from pidfd_getfd', () => {
  const { call, shown } = setUp();
  call(Sys.pidfd_open, [20, 0], 4);
  call(Sys.dup, [4], 6);
  call(Sys.pidfd_getfd, [6, 2, 0], 5);
  call(Sys.write, [5, BASE, 5], 5);
  call(Sys.pidfd_getfd, [6, 3, 0], 5);
  call(Sys.write, [5, BASE, 5], 5);
  call(Sys.pidfd_getfd, [9, 1, 0], 7);
  call(Sys.write, [7, BASE, 5], 5);
  expect(shown).toEqual(['2:hello']);
});

describe('files that are open descriptors', () => {
  it.each([
    ['/dev/stdout', 1],
    ['/dev/stderr', 2],
    ['/dev/../dev/fd/2', 2],
    ['/proc/self/fd/1', 1],
    ['/proc/thread-self/fd/2', 2],
    ['/proc/20/fd/2', 2],
    ['/proc/20/task/20/fd/1', 1],
    ['/proc/self/task/20/fd/1', 1],
  ])('%s leads to stream %i, without the knowledge of the recorder', (path, stream) => {
    const { call, open, shown, task } = setUp();
    open(path, 1, 5);
    expect(task.fds.unframed).toBe(true);
    call(Sys.write, [5, BASE, 5], 5);
    expect(shown).toEqual([`${stream}:hello`]);
    call(Sys.close, [5], 0);
    expect(task.fds.unframed).toBe(false);
  });

  it('are what they were opened from, at that time, in duplicates too', () => {
    const { call, open, shown, task } = setUp();
    open('/dev/stderr', 1, 5);
    call(Sys.dup2, [5, 1], 1);
    call(Sys.close, [5], 0);
    call(Sys.write, [1, BASE, 5], 5);
    open('/dev/stdout', 1, 6);
    call(Sys.close, [2], 0);
    call(Sys.write, [6, BASE, 2], 2);
    open('/dev/stderr', 1, 2);
    call(Sys.write, [2, BASE, 2], 2);
    expect(shown).toEqual(['2:hello', '2:he']);
    expect(task.fds.unframed).toBe(true);
  });

  it('are found in a folder of descriptors that the recorder names', () => {
    const { call, opened, place, shown } = setUp();
    call(Sys.openat, [-100, BASE, 0], 4, opened(4, '/proc/20/fd'));
    place(BASE + PAGE, Buffer.from('2\0'));
    call(Sys.openat, [4, BASE + PAGE, 1], 5);
    call(Sys.write, [5, BASE, 5], 5);
    call(Sys.close, [4], 0);
    call(Sys.openat, [4, BASE + PAGE, 1], 6);
    call(Sys.write, [6, BASE, 5], 5);
    expect(shown).toEqual(['2:hello']);
  });

  it('are not output if opened to be read, or if nothing leads there', () => {
    const { call, open, opened, shown, task } = setUp();
    open('/dev/stdout', 0, 5);
    open('/dev/fd/9', 1, 6);
    open('/proc/99/fd/1', 1, 7);
    open('/dev/stdout.log', 1, 8);
    for (const fd of [5, 6, 7, 8]) call(Sys.write, [fd, BASE, 5], 5);
    expect(shown).toEqual([]);
    open('/dev/stderr', 1, 5, opened(5, 'terminal'));
    call(Sys.write, [5, BASE, 5], 5);
    expect(shown).toEqual(['2:hello']);
    expect(task.fds.unframed, 'the recorder follows terminals').toBe(false);
  });

  it('are closed by exec as the program said', () => {
    const { call, open, task } = setUp();
    open('/dev/stdout', 1 | 0o2000000, 5);
    call(Sys.fcntl, [5, 0, 7], 7);
    call(Sys.fcntl, [5, 1030, 8], 8);
    call(Sys.dup3, [5, 9, 0o2000000], 9);
    call(Sys.dup3, [9, 10, 0], 10);
    call(Sys.fcntl, [7, 2, 1], 0);
    call(Sys.fcntl, [8, 2, 0], 0);
    task.fds.closeUnframedForExec();
    expect([...task.fds.monitored.keys()]).toEqual([1, 2, 8, 10]);
  });
});

describe('other calls that write', () => {
  it('send what their messages and vectors hold', () => {
    const { call, place, shown } = setUp();
    const words = (...values: number[]): Uint8Array =>
      new Uint8Array(new BigUint64Array(values.map(BigInt)).buffer);
    place(BASE + 100, words(BASE, 5, BASE + 7, 5));
    place(BASE + 200, words(0, 0, BASE + 100, 2, 0, 0, 0, 0));
    call(Sys.sendto, [1, BASE, 5, 0], 5);
    call(Sys.sendmsg, [2, BASE + 200, 0], 10);
    call(Sys.sendmmsg, [2, BASE + 200, 1, 0], 1);
    expect(shown).toEqual(['1:hello', '2:hello', '2:world', '2:hello', '2:world']);
  });

  it('cause a warning if the recording does not have their bytes', () => {
    const { call, shown, warnings } = setUp();
    call(Sys.sendfile, [1, 5, 0, 9], 9);
    call(Sys.splice, [5, 0, 1, 0, 9], 4);
    call(Sys.copy_file_range, [5, 0, 1, 0, 9], 6);
    call(Sys.splice, [1, 0, 5, 0, 9], 4);
    call(Sys.sendfile, [1, 5, 0, 9], -11);
    expect(shown).toEqual([]);
    expect(warnings.map((text) => text.slice(0, text.indexOf(',')))).toEqual([
      'Task 10 wrote 9 bytes to standard output by sendfile',
      'Task 10 wrote 4 bytes to standard output by splice',
      'Task 10 wrote 6 bytes to standard output by copy_file_range',
    ]);
  });
});

describe('/proc/TID/mem', () => {
  it('stores in the memory of the other task, at the recorded or the given offset', () => {
    const { call, opened, textAt } = setUp();
    call(257, [], 3, opened(3, '/proc/20/mem'));
    call(Sys.write, [3, BASE, 5], 5, { kind: 'writeOffset', offset: BigInt(BASE + 100) });
    call(Sys.pwrite64, [3, BASE + 7, 5, BASE + PAGE - 2], 5);
    expect(textAt(20, BASE + 100, 5)).toBe('hello');
    expect(textAt(20, BASE + PAGE - 2, 5)).toBe('world');
    expect(textAt(10, BASE + 100, 5)).toBe('\0\0\0\0\0');
  });

  it('is ignored if the recorder stored the bytes itself, or nothing is mapped', () => {
    const recorded = setUp({ explicitProcMem: true });
    recorded.call(257, [], 3, recorded.opened(3, '/proc/20/mem'));
    recorded.call(Sys.pwrite64, [3, BASE, 5, BASE + 100], 5);
    expect(recorded.textAt(20, BASE + 100, 5)).toBe('\0\0\0\0\0');

    const { call, opened } = setUp();
    call(257, [], 3, opened(3, '/proc/20/mem'));
    call(Sys.pwrite64, [3, BASE, 5, -4096], 5);
    call(Sys.pwrite64, [3, BASE, 5, 0x7000], 5);
    call(Sys.write, [3, BASE, 5], 5, { kind: 'writeOffset', offset: 2n ** 62n });
  });
});
