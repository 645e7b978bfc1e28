import { E, fail } from '../base/errno.js';
import { Mode, Open, statOf, type FileStat, type Node } from '../files/node.js';
import { OpenDirectory, RegularFile, openDevice, type OpenFile } from '../files/open-file.js';
import type { Found } from '../files/file-system.js';
import type { Call, Handlers } from './dispatch.js';
import { nameBytes } from '../../engine/base/names.js';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const STAT_BYTES = 144;
const STATX_BYTES = 256;
const STATX_BASIC = 0x7ff;
const BLOCK = 4096;
const W_OK = 2;
const RENAME_NOREPLACE = 1;

/** The folder that a relative path starts from. */
export function directoryOf(call: Call, fd: number): string {
  const { process } = call.thread;
  if ((fd | 0) === AT_FDCWD) return process.place.directory;
  const file = process.descriptors.get(fd | 0);
  return (file.stat().mode & Mode.typeMask) === Mode.directory ? file.path : fail(E.ENOTDIR);
}

function walk(call: Call, fd: number, at: number, follow: boolean): Found {
  const path = call.memory.string(at);
  const directory = path.startsWith('/') ? '/' : directoryOf(call, fd);
  return call.kernel.files.walk(directory, path, follow, call.thread.process.pid);
}

/** Opens a resolved file; a name in /proc/PID/fd gives the descriptor's own file. */
export function openNode(call: Call, path: string, node: Node): OpenFile {
  const { kernel, thread } = call;
  const { pid, descriptors } = thread.process;
  switch (node.kind) {
    case 'file':
      return new RegularFile(path, node.content);
    case 'directory':
      return new OpenDirectory(path, node.stat, () => kernel.files.list(path, pid));
    case 'device':
      return openDevice(path, node, kernel.random, kernel.openTerminal);
    case 'descriptor':
      return descriptors.get(node.fd);
    case 'link':
      return fail(E.ELOOP);
  }
}

function open(call: Call, fd: number, at: number, flagBits: number, mode: number): number {
  const { kernel, thread } = call;
  const { descriptors, place, pid } = thread.process;
  const flags = flagBits >>> 0;
  const path = call.memory.string(at);
  const directory = path.startsWith('/') ? '/' : directoryOf(call, fd);
  const found = kernel.files.open(directory, path, flags, mode & ~place.mask & 0o7777, pid);
  const file = openNode(call, found.path, found.node);
  if (file instanceof RegularFile || file instanceof OpenDirectory || found.node.kind === 'device')
    if (!file.isTerminal)
      file.flags = flags & ~(Open.create | Open.exclusive | Open.truncate | Open.closeOnExec);
  return descriptors.add(file, (flags & Open.closeOnExec) !== 0);
}

/** struct stat of x86-64. */
function statBytes(stat: FileStat): Uint8Array {
  const bytes = new Uint8Array(STAT_BYTES);
  const view = new DataView(bytes.buffer);
  const wide = (offset: number, value: number): void => view.setBigInt64(offset, BigInt(value), true);
  wide(0, stat.device);
  wide(8, stat.inode);
  wide(16, stat.links);
  view.setUint32(24, stat.mode, true);
  view.setUint32(28, stat.uid, true);
  view.setUint32(32, stat.gid, true);
  wide(40, stat.special ?? 0);
  wide(48, stat.size);
  wide(56, BLOCK);
  wide(64, Math.ceil(stat.size / 512));
  for (const offset of [72, 88, 104]) {
    wide(offset, stat.mtime[0]);
    wide(offset + 8, stat.mtime[1]);
  }
  return bytes;
}

function statxBytes(stat: FileStat): Uint8Array {
  const bytes = new Uint8Array(STATX_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STATX_BASIC, true);
  view.setUint32(4, BLOCK, true);
  view.setUint32(16, stat.links, true);
  view.setUint32(20, stat.uid, true);
  view.setUint32(24, stat.gid, true);
  view.setUint16(28, stat.mode, true);
  view.setBigUint64(32, BigInt(stat.inode), true);
  view.setBigUint64(40, BigInt(stat.size), true);
  view.setBigUint64(48, BigInt(Math.ceil(stat.size / 512)), true);
  for (const offset of [64, 80, 96, 112]) {
    view.setBigInt64(offset, BigInt(stat.mtime[0]), true);
    view.setUint32(offset + 8, stat.mtime[1], true);
  }
  view.setUint32(128, (stat.special ?? 0) >>> 8, true);
  view.setUint32(132, (stat.special ?? 0) & 0xff, true);
  view.setUint32(140, stat.device, true);
  return bytes;
}

/** stat of a path, or of the descriptor where the path is empty and that is allowed. */
function statAt(call: Call, fd: number, at: number, flags: number): FileStat {
  if (flags & AT_EMPTY_PATH && (at === 0 || call.memory.string(at) === '')) {
    if ((fd | 0) !== AT_FDCWD) return call.thread.process.descriptors.get(fd | 0).stat();
  }
  const { node } = walk(call, fd, at, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  if (!node) fail(E.ENOENT);
  if (node.kind === 'descriptor') return call.thread.process.descriptors.get(node.fd).stat();
  return statOf(node);
}

function store(call: Call, index: number, bytes: Uint8Array): number {
  call.memory.write(call.args[index], bytes);
  return 0;
}

function access(call: Call, fd: number, at: number, mode: number, flags: number): number {
  const { path, node } = walk(call, fd, at, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  if (!node) fail(E.ENOENT);
  if (mode & W_OK && call.kernel.files.special(path, 0)?.kind === 'file') fail(E.EACCES);
  return 0;
}

function readlink(call: Call, fd: number, at: number, into: number, size: number): number {
  if (size <= 0) fail(E.EINVAL);
  const { node } = walk(call, fd, at, false);
  if (!node) fail(E.ENOENT);
  let target: string;
  if (node.kind === 'link') target = node.target;
  else if (node.kind === 'descriptor') target = call.thread.process.descriptors.get(node.fd).path;
  else return fail(E.EINVAL);
  const bytes = nameBytes(target).subarray(0, size);
  call.memory.write(into, bytes);
  return bytes.length;
}

function mkdir(call: Call, fd: number, at: number, mode: number): number {
  const { kernel, thread } = call;
  const path = call.memory.string(at);
  kernel.files.mkdir(
    directoryFor(call, fd, path),
    path,
    mode & ~thread.process.place.mask,
    thread.process.pid,
  );
  return 0;
}

const directoryFor = (call: Call, fd: number, path: string): string =>
  path.startsWith('/') ? '/' : directoryOf(call, fd);

function unlink(call: Call, fd: number, at: number, flags: number): number {
  const { kernel, thread } = call;
  const path = call.memory.string(at);
  const directory = directoryFor(call, fd, path);
  if (flags & AT_REMOVEDIR) kernel.files.rmdir(directory, path, thread.process.pid);
  else kernel.files.unlink(directory, path, thread.process.pid);
  return 0;
}

function rename(
  call: Call,
  from: readonly [number, number],
  to: readonly [number, number],
  flags: number,
): number {
  const { kernel, thread } = call;
  const { pid } = thread.process;
  if (flags & ~RENAME_NOREPLACE) fail(E.EINVAL);
  const [source, target] = [call.memory.string(from[1]), call.memory.string(to[1])];
  const place = { directory: directoryFor(call, to[0], target), path: target };
  if (flags && kernel.files.walk(place.directory, target, false, pid).node) fail(E.EEXIST);
  kernel.files.rename({ directory: directoryFor(call, from[0], source), path: source }, place, pid);
  return 0;
}

function link(
  call: Call,
  from: readonly [number, number],
  to: readonly [number, number],
  flags: number,
): number {
  const found = walk(call, from[0], from[1], (flags & AT_SYMLINK_FOLLOW) !== 0);
  const path = call.memory.string(to[1]);
  call.kernel.files.link(found, directoryFor(call, to[0], path), path, call.thread.process.pid);
  return 0;
}

function symlink(call: Call, target: number, fd: number, at: number): number {
  const path = call.memory.string(at);
  const directory = directoryFor(call, fd, path);
  call.kernel.files.symlink(call.memory.string(target), directory, path, call.thread.process.pid);
  return 0;
}

function chmod(call: Call, fd: number, at: number, mode: number): number {
  call.kernel.files.chmod(walk(call, fd, at, true), mode);
  return 0;
}

function truncate(call: Call): number {
  const [at, size] = call.args;
  if (size < 0) fail(E.EINVAL);
  const path = call.memory.string(at);
  const { place, pid } = call.thread.process;
  const { node } = call.kernel.files.open(place.directory, path, Open.readWrite, 0, pid);
  if (node.kind !== 'file' || !node.content.truncate) fail(E.EINVAL);
  node.content.truncate(size);
  return 0;
}

function chdir(call: Call, path: string, directory: string): number {
  const { process } = call.thread;
  const found = call.kernel.files.walk(directory, path, true, process.pid);
  if (!found.node) fail(E.ENOENT);
  if (found.node.kind !== 'directory') fail(E.ENOTDIR);
  process.place.directory = found.path;
  return 0;
}

/** struct statfs of a memory file system. */
function statfs(call: Call, index: number): number {
  const values = [
    0x0102_1994,
    BLOCK,
    1 << 20,
    1 << 19,
    1 << 19,
    1 << 20,
    1 << 19,
    0,
    255,
    BLOCK,
    0,
    0,
    0,
    0,
    0,
  ];
  call.memory.setWords(call.args[index], values);
  return 0;
}

const exists = (call: Call): number => (walk(call, AT_FDCWD, call.args[0], true).node ? 0 : fail(E.ENOENT));

export const pathCalls: Handlers = {
  open: (call) => open(call, AT_FDCWD, call.args[0], call.args[1], call.args[2]),
  openat: (call) => open(call, call.args[0], call.args[1], call.args[2], call.args[3]),
  openat2: (call) => {
    const how = call.args[2];
    return open(call, call.args[0], call.args[1], call.memory.word(how), call.memory.word(how + 8));
  },
  creat: (call) =>
    open(call, AT_FDCWD, call.args[0], Open.create | Open.writeOnly | Open.truncate, call.args[1]),
  stat: (call) => store(call, 1, statBytes(statAt(call, AT_FDCWD, call.args[0], 0))),
  lstat: (call) => store(call, 1, statBytes(statAt(call, AT_FDCWD, call.args[0], AT_SYMLINK_NOFOLLOW))),
  fstat: (call) => store(call, 1, statBytes(call.thread.process.descriptors.get(call.args[0] | 0).stat())),
  newfstatat: (call) => store(call, 2, statBytes(statAt(call, call.args[0], call.args[1], call.args[3]))),
  statx: (call) => store(call, 4, statxBytes(statAt(call, call.args[0], call.args[1], call.args[2]))),
  access: (call) => access(call, AT_FDCWD, call.args[0], call.args[1], 0),
  faccessat: (call) => access(call, call.args[0], call.args[1], call.args[2], 0),
  faccessat2: (call) => access(call, call.args[0], call.args[1], call.args[2], call.args[3]),
  readlink: (call) => readlink(call, AT_FDCWD, call.args[0], call.args[1], call.args[2]),
  readlinkat: (call) => readlink(call, call.args[0], call.args[1], call.args[2], call.args[3]),
  mkdir: (call) => mkdir(call, AT_FDCWD, call.args[0], call.args[1]),
  mkdirat: (call) => mkdir(call, call.args[0], call.args[1], call.args[2]),
  rmdir: (call) => unlink(call, AT_FDCWD, call.args[0], AT_REMOVEDIR),
  unlink: (call) => unlink(call, AT_FDCWD, call.args[0], 0),
  unlinkat: (call) => unlink(call, call.args[0], call.args[1], call.args[2]),
  rename: (call) => rename(call, [AT_FDCWD, call.args[0]], [AT_FDCWD, call.args[1]], 0),
  renameat: (call) => rename(call, [call.args[0], call.args[1]], [call.args[2], call.args[3]], 0),
  renameat2: (call) => rename(call, [call.args[0], call.args[1]], [call.args[2], call.args[3]], call.args[4]),
  link: (call) => link(call, [AT_FDCWD, call.args[0]], [AT_FDCWD, call.args[1]], 0),
  linkat: (call) => link(call, [call.args[0], call.args[1]], [call.args[2], call.args[3]], call.args[4]),
  symlink: (call) => symlink(call, call.args[0], AT_FDCWD, call.args[1]),
  symlinkat: (call) => symlink(call, call.args[0], call.args[1], call.args[2]),
  chmod: (call) => chmod(call, AT_FDCWD, call.args[0], call.args[1]),
  fchmodat: (call) => chmod(call, call.args[0], call.args[1], call.args[2]),
  truncate,
  chdir: (call) => chdir(call, call.memory.string(call.args[0]), call.thread.process.place.directory),
  fchdir: (call) => chdir(call, directoryOf(call, call.args[0]), '/'),
  statfs: (call) => (exists(call), statfs(call, 1)),
  fstatfs: (call) => (call.thread.process.descriptors.get(call.args[0] | 0), statfs(call, 1)),
  // Owners and times of temporary files are ignored; a missing file is an error.
  chown: exists,
  lchown: exists,
  utime: exists,
  utimes: exists,
};
