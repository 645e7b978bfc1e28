/** Identities of files, from stat-like calls of the program. */
import { readStatx, STATX_BYTES } from '../../../base/file-abi.js';
import { Sys } from '../../../base/linux.js';
import type { RecordedStat } from '../../../task/recorded-content.js';
import type { RecordedWorld } from '../../../task/recorded-files.js';
import { isOfKernel, type ReturnedCall } from './call-memory.js';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const TYPE_MASK = 0o170000;
const LINK = 0o120000;
const REGULAR = 0o100000;
/** STATX_BASIC_STATS without STATX_BLOCKS and the times of access and change. */
const STATX_NEEDED = 0x0347;

/** struct stat (arch/x86/include/uapi/asm/stat.h). */
function statOf(view: DataView): RecordedStat {
  const wide = (at: number): number => Number(view.getBigUint64(at, true));
  return {
    device: wide(0),
    inode: wide(8),
    links: wide(16),
    mode: view.getUint32(24, true),
    uid: view.getUint32(28, true),
    gid: view.getUint32(32, true),
    special: wide(40),
    size: wide(48),
    mtime: [Number(view.getBigInt64(88, true)), wide(96)],
  };
}

/** struct statx; null if it is incomplete. */
function statxOf(view: DataView): RecordedStat | null {
  if ((view.getUint32(0, true) & STATX_NEEDED) !== STATX_NEEDED) return null;
  return readStatx(view);
}

/** stat-like calls; that a path does not exist is recorded, too. */
export function noteStat(call: ReturnedCall): void {
  switch (call.number) {
    case Sys.fstat:
      return ofDescriptor(call, call.int(0), read(call, 1));
    case Sys.stat:
      return ofPath(call, call.path(0), read(call, 1));
    case Sys.lstat:
      return ofPath(call, call.path(0, AT_FDCWD, false), read(call, 1));
    case Sys.newfstatat:
      return at(call, call.int(3), read(call, 2));
    case Sys.statx:
      return at(call, call.int(2), read(call, 4));
  }
}

function read(call: ReturnedCall, index: number): RecordedStat | null {
  const view = call.peek(call.pointer(index), call.number === Sys.statx ? STATX_BYTES : 144);
  const stat = view && (call.number === Sys.statx ? statxOf(view) : statOf(view));
  return stat && Number.isSafeInteger(stat.inode) && Number.isSafeInteger(stat.size) ? stat : null;
}

function at(call: ReturnedCall, flags: number, stat: RecordedStat | null): void {
  const isEmpty = call.pointer(1) === 0 || call.text(call.pointer(1)) === '';
  const follows = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  if (!isEmpty) return ofPath(call, call.path(1, call.int(0), follows), stat);
  if (flags & AT_EMPTY_PATH && call.int(0) !== AT_FDCWD) ofDescriptor(call, call.int(0), stat);
}

function ofDescriptor(call: ReturnedCall, fd: number, stat: RecordedStat | null): void {
  const { files } = call.task.fds;
  const file = files.find(fd);
  if (!stat || call.result < 0 || file?.state.content === undefined || isOfKernel(file.path)) return;
  const content = identify(files.world, file.state.content, stat);
  if (content === file.state.content) return;
  files.change(fd, { content });
  if (files.world.names.get(file.path) === file.state.content) files.world.names.set(file.path, content);
}

const ENOENT = -2;

function ofPath(call: ReturnedCall, path: string | null, stat: RecordedStat | null): void {
  const { world } = call.task.fds.files;
  if (!path?.startsWith('/') || isOfKernel(path)) return;
  if (call.result === ENOENT) world.remove(path);
  if (call.result < 0 || !stat || (stat.mode & TYPE_MASK) === LINK) return;
  world.names.set(path, identify(world, world.named(path), stat));
}

/**
 * Sets the identity of a content.
 * @returns the content that already has this identity, if it is another one
 */
function identify(world: RecordedWorld, id: number, stat: RecordedStat): number {
  const same = world.identified(stat);
  const known = world.content(id);
  if (!known) return id;
  const isOther =
    known.stat !== null && (known.stat.inode !== stat.inode || known.stat.device !== stat.device);
  if (same !== null && same !== id && (isOther || !known.hasBytes)) return keep(world, same, stat);
  return keep(world, isOther ? world.newContent() : id, stat);
}

function keep(world: RecordedWorld, id: number, stat: RecordedStat): number {
  const content = world.content(id);
  if (!content) return id;
  content.stat = stat;
  if (!content.isWhole && (stat.mode & TYPE_MASK) === REGULAR) content.size = stat.size;
  world.identify(id, stat);
  return id;
}
