/** Names of files, links and folders: what calls made, moved, removed and listed. */
import { Sys } from '../../../base/linux.js';
import { nameOf } from '../../../base/names.js';
import type { ListedName } from '../../../task/recorded-files.js';
import { isOfKernel, type ReturnedCall } from './call-memory.js';

const DIRECTORY = 0o040000;
const AT_FDCWD = -100;
/** Names of one folder. */
const MOST_LISTED = 4096;

/** A call that succeeded. */
export function noteNames(call: ReturnedCall): void {
  const { world } = call.task.fds.files;
  switch (call.number) {
    case Sys.unlink:
    case Sys.rmdir:
      return named(call, call.path(0, AT_FDCWD, false), (path) => world.remove(path));
    case Sys.unlinkat:
      return named(call, call.path(1, call.int(0), false), (path) => world.remove(path));
    case Sys.rename:
      return noteRename(call, call.path(0, AT_FDCWD, false), call.path(1, AT_FDCWD, false));
    case Sys.renameat:
    case Sys.renameat2:
      return noteRename(call, call.path(1, call.int(0), false), call.path(3, call.int(2), false));
    case Sys.link:
      return noteLink(call, call.path(0, AT_FDCWD, false), call.path(1, AT_FDCWD, false));
    case Sys.linkat:
      return noteLink(call, call.path(1, call.int(0), false), call.path(3, call.int(2), false));
    case Sys.symlink:
      return noteSymlink(call, call.path(1, AT_FDCWD, false), call.text(call.pointer(0)));
    case Sys.symlinkat:
      return noteSymlink(call, call.path(2, call.int(1), false), call.text(call.pointer(0)));
    case Sys.readlink:
      return noteSymlink(call, call.path(0, AT_FDCWD, false), targetOf(call, 1));
    case Sys.readlinkat:
      return noteSymlink(call, call.path(1, call.int(0), false), targetOf(call, 2));
    case Sys.getdents64:
      return noteListing(call);
    case Sys.mkdir:
      return named(call, call.path(0), (path) => makeDirectory(call, path, call.int(1)));
    case Sys.mkdirat:
      return named(call, call.path(1, call.int(0)), (path) => makeDirectory(call, path, call.int(2)));
  }
}

export function named(_call: ReturnedCall, path: string | null, use: (path: string) => void): void {
  if (path?.startsWith('/')) use(path);
}

/** Including everything below a folder. */
function noteRename(call: ReturnedCall, from: string | null, to: string | null): void {
  if (!from?.startsWith('/') || !to?.startsWith('/') || from === to) return;
  const { world } = call.task.fds.files;
  const target = world.links.get(from);
  if (target === undefined) {
    world.links.delete(to);
    world.names.set(to, world.named(from));
  } else {
    world.names.delete(to);
    world.links.set(to, target);
  }
  const listed = world.listings.get(from);
  world.remove(from);
  if (listed) world.listings.set(to, listed);
  for (const [name, id] of [...world.names]) {
    if (!name.startsWith(`${from}/`)) continue;
    world.names.set(to + name.slice(from.length), id);
    world.names.set(name, 0);
  }
  move(world.links, from, to);
  move(world.listings, from, to);
}

/** Renames everything below a renamed folder. */
function move<T>(known: Map<string, T>, from: string, to: string): void {
  for (const [name, value] of [...known]) {
    if (!name.startsWith(`${from}/`)) continue;
    known.delete(name);
    known.set(to + name.slice(from.length), value);
  }
}

/** With or without NUL, of the length that the call returned. */
function targetOf(call: ReturnedCall, index: number): string | null {
  const bytes = call.bytes(call.pointer(index), call.result);
  return bytes.length === call.result && !bytes.includes(0) ? nameOf(bytes) : null;
}

function noteSymlink(call: ReturnedCall, path: string | null, target: string | null): void {
  if (!path?.startsWith('/') || !target || isOfKernel(path)) return;
  const { world } = call.task.fds.files;
  world.names.delete(path);
  world.links.set(path, target);
}

/** struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, name. The last call returns nothing. */
function noteListing(call: ReturnedCall): void {
  const { files } = call.task.fds;
  const file = files.find(call.int(0));
  if (!file?.path.startsWith('/') || isOfKernel(file.path)) return;
  const listed = file.state.listed ?? [];
  if (call.result === 0) return files.world.list(file.path, listed);
  const bytes = call.bytes(call.pointer(1), call.result);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const names: ListedName[] = [];
  for (let at = 0; at + 19 < bytes.length;) {
    const length = view.getUint16(at + 16, true);
    const end = bytes.indexOf(0, at + 19);
    if (length < 20 || end < 0) break;
    const name = nameOf(bytes.subarray(at + 19, end));
    if (name !== '.' && name !== '..') names.push([name, bytes[at + 18]]);
    at += length;
  }
  if (listed.length + names.length <= MOST_LISTED)
    files.change(call.int(0), { listed: [...listed, ...names] });
}

function noteLink(call: ReturnedCall, from: string | null, to: string | null): void {
  const { world } = call.task.fds.files;
  if (from?.startsWith('/') && to?.startsWith('/')) world.names.set(to, world.named(from));
}

function makeDirectory(call: ReturnedCall, path: string, mode: number): void {
  const { world } = call.task.fds.files;
  const id = world.newContent();
  const content = world.content(id);
  if (content)
    content.stat = {
      device: 0x2a,
      inode: id,
      mode: DIRECTORY | (mode & 0o777),
      links: 2,
      uid: 0,
      gid: 0,
      size: 0,
      special: 0,
      mtime: [0, 0],
    };
  world.names.set(path, id);
  world.listings.set(path, []);
}
