import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../../base/address.js';
import { Sys } from '../../../base/linux.js';
import { Reg, newRegisters, setSigned } from '../../../base/registers.js';
import { GuestMemory } from '../../../kvm/guest-memory.js';
import { AddressSpace } from '../../../mm/address-space.js';
import { Prot } from '../../../mm/vma.js';
import { FdTable } from '../../../task/fd-table.js';
import { Task, ThreadGroup } from '../../../task/task.js';
import { noteFiles } from './files.js';

const BASE = 0x10_0000 as Gva;
const PAGE = 4096;
const SLOTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];

/** A task with two pages at BASE, and its returned calls with their times. */
function setUp() {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0, high: 0 });
  const end = (BASE + 2 * PAGE) as Gva;
  space.map({ start: BASE, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
  const task = new Task(10, 1, space, new FdTable(), new ThreadGroup(10, null));
  task.group.directory = '/home';
  const put = (at: number, bytes: Uint8Array): number => {
    space.write((BASE + at) as Gva, bytes);
    return BASE + at;
  };
  return {
    files: task.fds.files,
    bytes: put,
    text: (at: number, value: string) => put(at, Buffer.from(`${value}\0`)),
    ints: (at: number, ...values: number[]) => put(at, new Uint8Array(new Int32Array(values).buffer)),
    words: (at: number, ...values: bigint[]) => put(at, new Uint8Array(new BigInt64Array(values).buffer)),
    call: (number: number, args: number[], result: number, seconds = 0, isBuffered = false): void => {
      const registers = newRegisters();
      args.forEach((value, index) => setSigned(registers, SLOTS[index], value));
      noteFiles({} as never, task, number, registers, result, seconds, isBuffered);
    },
  };
}

describe('descriptors without a path', () => {
  it('keep the descriptors of an epoll set, by number and description', () => {
    const { files, call, ints } = setUp();
    call(Sys.epoll_create1, [0o2000000], 3);
    call(Sys.eventfd2, [5, 1], 4);
    call(Sys.epoll_ctl, [3, 1, 4, ints(0, 1, 77, 0)], 0);
    expect(files.find(3)).toMatchObject({ kind: 'epoll', flags: 0o2000002 });
    const { id } = files.find(4)!;
    expect(files.find(3)?.state.interests).toEqual([{ fd: 4, file: id, events: 1, data: 77n }]);
    call(Sys.epoll_ctl, [3, 3, 4, ints(0, 5, 78, 0)], 0);
    expect(files.find(3)?.state.interests).toEqual([{ fd: 4, file: id, events: 5, data: 78n }]);
    call(Sys.epoll_ctl, [3, 2, 4, 0], 0);
    expect(files.find(3)?.state.interests).toEqual([]);
  });

  it('count events, and lose them to who reads', () => {
    const { files, call, words } = setUp();
    call(Sys.eventfd2, [5, 0], 4);
    call(Sys.write, [4, words(0, 3n), 8], 8);
    expect(files.find(4)?.state.count).toBe(8n);
    call(Sys.read, [4, words(0, 8n), 8], 8);
    expect(files.find(4)?.state.count).toBe(0n);
  });

  it('are timers that go on from the last time that they were read', () => {
    const { files, call, words } = setUp();
    call(Sys.timerfd_create, [1, 0], 5);
    call(Sys.timerfd_settime, [5, 0, words(0, 2n, 0n, 1n, 0n), 0], 0, 100);
    expect(files.find(5)?.state).toMatchObject({
      interval: 2_000_000_000n,
      first: 1_000_000_000n,
      armedAt: 100,
    });
    // Due at 101, 103, 105.
    call(Sys.read, [5, BASE, 8], 8, 104);
    expect(files.find(5)?.state).toMatchObject({ first: 1_000_000_000n, armedAt: 104 });
  });

  it('are ends of pipes and pairs with unread data', () => {
    const { files, call, ints, text } = setUp();
    call(Sys.pipe2, [ints(0, 6, 7), 0], 0);
    call(Sys.write, [7, text(16, 'some text'), 9], 9);
    call(Sys.read, [6, BASE + 64, 5], 5);
    expect(Buffer.from(files.world.channels.get(files.find(6)!.path)!).toString()).toBe('text');
    call(Sys.socketpair, [1, 1, 0, ints(0, 8, 9)], 0);
    call(Sys.sendto, [9, text(16, 'hello'), 5, 0, 0, 0], 5);
    expect(Buffer.from(files.world.channels.get(`${files.find(8)!.path}>1`)!).toString()).toBe('hello');
    call(Sys.recvfrom, [8, BASE + 64, 5, 0, 0, 0], 5);
    expect(files.world.channels.size).toBe(1);
  });

  it('are those that were sent through a pair of sockets', () => {
    const { files, call, ints, words } = setUp();
    call(Sys.eventfd2, [5, 0], 4);
    call(Sys.socketpair, [1, 1, 0, ints(0, 8, 9)], 0);
    /** A header whose control message holds one descriptor. */
    const message = (fd: number): number => {
      words(512, 20n, 0x1_0000_0001n, BigInt(fd));
      return words(256, 0n, 0n, 0n, 0n, BigInt(BASE + 512), 24n, 0n);
    };
    call(Sys.sendmsg, [8, message(4), 0], 0);
    call(Sys.close, [4], 0, 0, true);
    call(Sys.recvmsg, [9, message(11), 0], 0);
    expect(files.find(11)).toMatchObject({ kind: 'eventfd', state: { count: 5n } });
    call(Sys.recvmsg, [9, message(12), 0], 0);
    expect(files.find(12)).toMatchObject({ kind: 'other', path: 'received from another process' });
  });

  it('are sockets with their peers', () => {
    const { files, call, words, ints } = setUp();
    call(Sys.socket, [2, 1, 0], 5);
    call(Sys.listen, [5, 10], 0);
    // AF_INET, port 80 in network order, 10.0.0.7.
    const address = words(0, 0x0700_000a_5000_0002n, 0n);
    call(Sys.accept4, [5, address, ints(64, 16), 0], 6);
    expect(files.find(5)?.state.listens).toBe(true);
    expect(files.find(6)?.path).toBe('a connection that 10.0.0.7:80 made');
    call(Sys.socket, [2, 1, 0], 7);
    call(Sys.connect, [7, address, 16], 0);
    expect(files.find(7)?.path).toBe('a socket connected to 10.0.0.7:80');
  });
});

describe('names', () => {
  it('follow creation, renames, links and removal', () => {
    const { files, call, text } = setUp();
    const { world } = files;
    call(Sys.openat, [-100, text(0, './new'), 0o102, 0o644], 3, 0, true);
    call(Sys.openat, [-100, text(0, '/gone'), 0, 0], -2);
    expect([files.find(3)?.path, world.names.get('/gone')]).toEqual(['/home/new', 0]);
    const content = files.find(3)!.state.content!;
    call(Sys.rename, [text(0, 'new'), text(64, '/home/d/../moved')], 0);
    call(Sys.link, [text(0, 'moved'), text(64, 'second')], 0);
    call(Sys.unlink, [text(0, 'moved')], 0);
    expect(['new', 'moved', 'second'].map((name) => world.names.get(`/home/${name}`))).toEqual([
      0,
      0,
      content,
    ]);
  });

  it('go through symbolic links that are known', () => {
    const { files, call, text } = setUp();
    const { world } = files;
    call(Sys.mkdir, [text(0, '/d'), 0o755], 0);
    call(Sys.symlink, [text(0, 'd'), text(64, '/link')], 0);
    call(Sys.readlink, [text(0, '/current'), text(64, 'link/file'), 9], 9);
    call(Sys.creat, [text(0, '/link/file'), 0o644], 3);
    expect(files.find(3)?.path).toBe('/d/file');
    call(Sys.open, [text(0, '/current'), 0], 4);
    expect(files.find(4)?.state.content).toBe(files.find(3)?.state.content);
    call(Sys.rename, [text(0, '/link'), text(64, '/other')], 0);
    expect([...world.links]).toEqual([
      ['/current', 'link/file'],
      ['/other', 'd'],
    ]);
    call(Sys.unlink, [text(0, '/other')], 0);
    expect([world.links.has('/other'), world.names.get('/other')]).toEqual([false, 0]);
  });

  it('in a folder are all known once they were read to their end', () => {
    const { files, call, text, bytes } = setUp();
    const { world } = files;
    const entry = (name: string, type: number): Buffer => {
      const part = Buffer.alloc(24);
      part.writeUInt16LE(24, 16);
      part[18] = type;
      part.write(name, 19);
      return part;
    };
    call(Sys.openat, [-100, text(0, '/d/here'), 0, 0], -2);
    call(Sys.open, [text(0, '/d'), 0o200000], 3);
    const first = Buffer.concat([entry('.', 4), entry('here', 8)]);
    call(Sys.getdents64, [3, bytes(64, first), 4096], first.length);
    expect(world.listings.has('/d')).toBe(false);
    call(Sys.getdents64, [3, bytes(64, entry('sub', 4)), 4096], 24);
    call(Sys.getdents64, [3, bytes(64, first), 4096], 0);
    expect(world.listings.get('/d')).toEqual([
      ['here', 8],
      ['sub', 4],
    ]);
    expect(world.names.has('/d/here')).toBe(false);
  });

  it('of recreated files have new contents, and appended bytes go to the end', () => {
    const { files, call, text } = setUp();
    const { world } = files;
    const APPEND = 0o2101;
    call(Sys.unlink, [text(0, '/log')], 0);
    call(Sys.open, [text(0, '/log'), APPEND, 0o644], 3);
    call(Sys.write, [3, text(64, 'one'), 3], 3);
    call(Sys.open, [text(0, '/log'), APPEND, 0o644], 4);
    call(Sys.write, [4, text(64, 'two'), 3], 3);
    call(Sys.dup, [3], 5, 0, true);
    call(Sys.write, [5, text(64, '!'), 1], 1);
    const content = world.contents.get(world.names.get('/log')!)!;
    const bytes = new Uint8Array(7);
    content.read(0, bytes);
    expect([Buffer.from(bytes).toString(), content.size, content.isKnown]).toEqual(['onetwo!', 7, true]);
  });
});
