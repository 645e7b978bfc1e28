import { FcntlDup } from '../../engine/base/linux.js';
import { E, fail } from '../base/errno.js';
import { InotifyFd, PidFd, SignalFd } from '../devices/event-files.js';
import { Mode, Open } from '../files/node.js';
import { EventFd, TimerFd, makePipe } from '../files/pipe.js';
import { OpenDirectory, RegularFile, type OpenFile } from '../files/open-file.js';
import type { Call, Handlers, Outcome } from './dispatch.js';
import { MAX_COUNT, fileOf, now, readPieces, transfer, writePieces } from './io.js';
import { nameBytes } from '../../engine/base/names.js';

const Fcntl = {
  getFd: 1,
  setFd: 2,
  getFl: 3,
  setFl: 4,
  setOwn: 8,
  setSignal: 10,
  setOwnEx: 15,
  getLock: 5,
  setLock: 6,
  setLockWait: 7,
  setPipe: 1031,
  getPipe: 1032,
  addSeals: 1033,
  getSeals: 1034,
} as const;
const FD_CLOEXEC = 1;
const F_UNLCK = 2;
/** Flags that F_SETFL changes. */
const CHANGEABLE = Open.append | Open.nonblock;
const TCGETS = 0x5401;
const TIOCGWINSZ = 0x5413;
const TIOCGPGRP = 0x540f;
const FIONREAD = 0x541b;
const FIONBIO = 0x5421;
const FIOCLEX = 0x5451;
const CLOSE_RANGE_CLOEXEC = 4;
const COPY_CHUNK = 1 << 16;
const SEEK_SET = 0;
const SEEK_CUR = 1;
const EFD_SEMAPHORE = 1;
const MFD_CLOEXEC = 1;

const vectors = (call: Call): { at: number; size: number }[] =>
  call.memory.vectors(call.args[1], call.args[2]);

function buffer({ args }: Call): { at: number; size: number }[] {
  if (args[2] < 0) fail(E.EINVAL);
  return [{ at: args[1], size: args[2] }];
}

function positioned(call: Call, pieces: { at: number; size: number }[], reading: boolean): number {
  const file = fileOf(call);
  let offset = call.args[3];
  if (offset < 0) fail(E.EINVAL);
  if (reading ? !file.canRead : !file.canWrite) fail(E.EBADF);
  const move = (bytes: Uint8Array): number => {
    const count = reading ? file.pread(offset, bytes) : file.pwrite(offset, bytes);
    offset += count;
    return count;
  };
  return transfer(call, pieces, move, reading) ?? 0;
}

function duplicate(call: Call, from: number, to: number, flags: number): number {
  const { descriptors } = call.thread.process;
  const file = descriptors.get(from | 0);
  if (from === to) fail(E.EINVAL);
  descriptors.set(to | 0, file, (flags & Open.closeOnExec) !== 0);
  return to;
}

function fcntl(call: Call): number {
  const [fd, command, argument] = call.args;
  const { descriptors } = call.thread.process;
  const file = descriptors.get(fd | 0);
  switch (command) {
    case FcntlDup.dupFd:
    case FcntlDup.dupFdCloexec:
      return descriptors.add(file, command === FcntlDup.dupFdCloexec, argument);
    case Fcntl.getFd:
      return descriptors.closesOnExec(fd) ? FD_CLOEXEC : 0;
    case Fcntl.setFd:
      descriptors.setCloseOnExec(fd, (argument & FD_CLOEXEC) !== 0);
      return 0;
    case Fcntl.getFl:
      return file.flags;
    case Fcntl.setFl:
      file.flags = (file.flags & ~CHANGEABLE) | (argument & CHANGEABLE);
      return 0;
    case Fcntl.getLock: {
      const lock = call.memory.bytes(argument, 32);
      lock[0] = F_UNLCK;
      call.memory.write(argument, lock);
      return 0;
    }
    // The owner of signals for input, which never arrives.
    case Fcntl.setOwn:
    case Fcntl.setSignal:
    case Fcntl.setOwnEx:
      return 0;
    // There is no other process to lock against.
    case Fcntl.setLock:
    case Fcntl.setLockWait:
    case Fcntl.addSeals:
    case Fcntl.getSeals:
      return 0;
    case Fcntl.setPipe:
    case Fcntl.getPipe:
      return 1 << 16;
    default:
      return fail(E.EINVAL);
  }
}

function ioctl(call: Call): number {
  const [fd, request, argument] = call.args;
  const file = fileOf(call);
  switch (request >>> 0) {
    case TCGETS:
      if (!file.isTerminal) fail(E.ENOTTY);
      call.memory.write(argument, new Uint8Array(36));
      return 0;
    case TIOCGWINSZ:
      if (!file.isTerminal) fail(E.ENOTTY);
      call.memory.write(argument, new Uint8Array(new Uint16Array([24, 80, 0, 0]).buffer));
      return 0;
    case TIOCGPGRP:
      if (!file.isTerminal) fail(E.ENOTTY);
      call.memory.setU32(argument, call.thread.process.group);
      return 0;
    case FIONREAD:
      if (!(file instanceof RegularFile)) fail(E.ENOTTY);
      call.memory.setU32(argument, Math.max(0, file.stat().size - file.offset));
      return 0;
    case FIONBIO:
      file.flags = call.memory.u32(argument) ? file.flags | Open.nonblock : file.flags & ~Open.nonblock;
      return 0;
    case FIOCLEX:
      call.thread.process.descriptors.setCloseOnExec(fd, true);
      return 0;
    default:
      return fail(E.ENOTTY);
  }
}

/** struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, name. */
function getdents64(call: Call): number {
  const file = fileOf(call);
  const [, at] = call.args;
  const size = call.args[2] >>> 0;
  if (!(file instanceof OpenDirectory)) fail(E.ENOTDIR);
  const self = { inode: file.stat().inode, mode: Mode.directory };
  const entries = [{ name: '.', ...self }, { name: '..', ...self }, ...file.entries()];
  const bytes = new Uint8Array(Math.min(size, 1 << 16));
  const view = new DataView(bytes.buffer);
  let used = 0;
  for (; file.position < entries.length; file.position++) {
    const { name, inode, mode } = entries[file.position];
    const text = nameBytes(name);
    const length = Math.ceil((19 + text.length + 1) / 8) * 8;
    if (used + length > bytes.length) break;
    view.setBigUint64(used, BigInt(inode), true);
    view.setBigInt64(used + 8, BigInt(file.position + 1), true);
    view.setUint16(used + 16, length, true);
    bytes[used + 18] = (mode & Mode.typeMask) >> 12;
    bytes.set(text, used + 19);
    used += length;
  }
  if (used === 0 && file.position < entries.length) fail(E.EINVAL);
  call.memory.write(at, bytes.subarray(0, used));
  return used;
}

function pipe(call: Call, flags: number): number {
  const { descriptors } = call.thread.process;
  const { read, write } = makePipe(call.kernel.pipes, flags & Open.nonblock);
  const closes = (flags & Open.closeOnExec) !== 0;
  const fds = new Int32Array([descriptors.add(read, closes), descriptors.add(write, closes)]);
  call.memory.write(call.args[0], new Uint8Array(fds.buffer));
  return 0;
}

function closeRange(call: Call): number {
  const [first, last, flags] = call.args;
  const { descriptors } = call.thread.process;
  if (first > last) fail(E.EINVAL);
  for (const [fd] of [...descriptors]) {
    if (fd < first || fd > last) continue;
    if (flags & CLOSE_RANGE_CLOEXEC) descriptors.setCloseOnExec(fd, true);
    else descriptors.close(fd);
  }
  return 0;
}

function getcwd(call: Call): number {
  const [at, size] = call.args;
  const bytes = nameBytes(`${call.thread.process.place.directory}\0`);
  if (bytes.length > size) fail(E.ERANGE);
  call.memory.write(at, bytes);
  return bytes.length;
}

/** sendfile, copy_file_range: from one file to another, optionally with an offset in memory instead of the file's. */
function copy(call: Call, from: OpenFile, to: OpenFile, offsetAt: number, wanted: number): Outcome {
  if (!from.canRead || !to.canWrite) fail(E.EBADF);
  const total = Math.min(wanted, MAX_COUNT);
  const once = (): number | null => {
    let offset = offsetAt === 0 ? from.seek(0, SEEK_CUR) : call.memory.word(offsetAt);
    let done = 0;
    while (done < total) {
      const bytes = new Uint8Array(Math.min(COPY_CHUNK, total - done));
      const count = from.pread(offset, bytes);
      if (count <= 0) break;
      const written = to.write(bytes.subarray(0, count));
      if (written === null && done === 0) return null;
      offset += written ?? 0;
      done += written ?? 0;
      if (written !== count) break;
    }
    if (offsetAt !== 0) call.memory.setU64(offsetAt, BigInt(offset));
    else from.seek(offset, SEEK_SET);
    return done;
  };
  return now(to, 'writing', once);
}

function memfd(call: Call): number {
  const name = call.memory.string(call.args[0]);
  const file = new RegularFile(`/memfd:${name} (deleted)`, call.kernel.files.anonymous());
  file.flags = Open.readWrite;
  return call.thread.process.descriptors.add(file, (call.args[1] & MFD_CLOEXEC) !== 0);
}

function eventfd(call: Call, flags: number): number {
  const file = new EventFd(BigInt(call.args[0]), (flags & EFD_SEMAPHORE) !== 0, flags & Open.nonblock);
  return call.thread.process.descriptors.add(file, (flags & Open.closeOnExec) !== 0);
}

function timerfd(call: Call): number {
  const [clock, flags] = call.args;
  if (!call.kernel.clock.isKnown(clock)) fail(E.EINVAL);
  const now = (number: number): bigint => call.kernel.clock.now(number);
  const file = new TimerFd(clock, now, flags & Open.nonblock);
  return call.thread.process.descriptors.add(file, (flags & Open.closeOnExec) !== 0);
}

function inotify(call: Call, flags: number): number {
  call.kernel.warnOnce('inotify', {}, 'inotify reports no changes in diversions');
  const file = new InotifyFd(flags & Open.nonblock);
  return call.thread.process.descriptors.add(file, (flags & Open.closeOnExec) !== 0);
}

function inotifyWatch(call: Call): number {
  const file = fileOf(call);
  return file instanceof InotifyFd ? file.watch() : fail(E.EINVAL);
}

function signalfd(call: Call, flags: number): number {
  const [fd, maskAt, size] = call.args;
  if (size !== 8) fail(E.EINVAL);
  const mask = call.memory.view(maskAt, 8).getBigUint64(0, true);
  const { process } = call.thread;
  if ((fd | 0) === -1) {
    const file = new SignalFd(() => process, mask, flags & Open.nonblock);
    return process.descriptors.add(file, (flags & Open.closeOnExec) !== 0);
  }
  const file = fileOf(call);
  if (!(file instanceof SignalFd)) fail(E.EINVAL);
  file.mask = mask;
  return fd;
}

function pidfd(call: Call): number {
  const [pid, flags] = call.args;
  if (!call.kernel.processes.has(pid)) fail(E.ESRCH);
  return call.thread.process.descriptors.add(new PidFd(call.kernel, pid, flags & Open.nonblock), true);
}

function ftruncate(call: Call): number {
  const file = fileOf(call);
  if (call.args[1] < 0 || !file.canWrite) fail(E.EINVAL);
  file.truncate(call.args[1]);
  return 0;
}

function fallocate(call: Call): number {
  const [, mode, offset, size] = call.args;
  const file = fileOf(call);
  if (mode !== 0) fail(E.EOPNOTSUPP);
  if (offset + size > file.stat().size) file.truncate(offset + size);
  return 0;
}

const anyFile = (call: Call): number => (fileOf(call), 0);

export const fileCalls: Handlers = {
  read: (call) => readPieces(call, fileOf(call), buffer(call)),
  write: (call) => writePieces(call, fileOf(call), buffer(call)),
  readv: (call) => readPieces(call, fileOf(call), vectors(call)),
  writev: (call) => writePieces(call, fileOf(call), vectors(call)),
  pread64: (call) => positioned(call, buffer(call), true),
  pwrite64: (call) => positioned(call, buffer(call), false),
  preadv: (call) => positioned(call, vectors(call), true),
  pwritev: (call) => positioned(call, vectors(call), false),
  lseek: (call) => fileOf(call).seek(call.args[1], call.args[2]),
  close: (call) => (call.thread.process.descriptors.close(call.args[0] | 0), 0),
  close_range: closeRange,
  dup: (call) => call.thread.process.descriptors.add(fileOf(call), false),
  dup2: (call) =>
    call.args[0] === call.args[1]
      ? (fileOf(call), call.args[1])
      : duplicate(call, call.args[0], call.args[1], 0),
  dup3: (call) => duplicate(call, call.args[0], call.args[1], call.args[2]),
  fcntl,
  ioctl,
  getdents64,
  pipe: (call) => pipe(call, 0),
  pipe2: (call) => pipe(call, call.args[1]),
  getcwd,
  sendfile: (call) => copy(call, fileOf(call, 1), fileOf(call, 0), call.args[2], call.args[3]),
  copy_file_range: (call) =>
    call.args[3] === 0
      ? copy(call, fileOf(call, 0), fileOf(call, 2), call.args[1], call.args[4])
      : fail(E.EINVAL),
  memfd_create: memfd,
  eventfd: (call) => eventfd(call, 0),
  eventfd2: (call) => eventfd(call, call.args[1]),
  timerfd_create: timerfd,
  inotify_init: (call) => inotify(call, 0),
  inotify_init1: (call) => inotify(call, call.args[0]),
  inotify_add_watch: inotifyWatch,
  inotify_rm_watch: (call) => (inotifyWatch(call), 0),
  signalfd: (call) => signalfd(call, 0),
  signalfd4: (call) => signalfd(call, call.args[3]),
  pidfd_open: pidfd,
  ftruncate,
  fallocate,
  fsync: anyFile,
  fdatasync: anyFile,
  flock: anyFile,
  fadvise64: anyFile,
  fchmod: anyFile,
  fchown: anyFile,
  sync: () => 0,
  utimensat: () => 0,
  fchownat: () => 0,
  umask: (call) => {
    const { place } = call.thread.process;
    const before = place.mask;
    place.mask = call.args[0] & 0o777;
    return before;
  },
};
