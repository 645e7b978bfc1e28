/**
 * Effects of calls on open files, names and contents, which a diversion recreates. Examined in the
 * program's memory when a call has returned and its recorded memory writes are done. A buffered
 * call is examined as the library makes it; its record then has the result and the kernel's stores.
 */
import { Open } from '../../../base/file-abi.js';
import { FcntlDup, MapFlag, Sys } from '../../../base/linux.js';
import type { RegisterWords } from '../../../base/registers.js';
import type { RecordedFile } from '../../../task/recorded-files.js';
import type { Task } from '../../../task/task.js';
import type { ReplayCore } from '../../state/core.js';
import { isOfKernel, ReturnedCall } from './call-memory.js';
import { makeObject, objectCalls } from './objects.js';
import { messageCalls, noteMessage } from './messages.js';
import { named, noteNames } from './names.js';
import { noteSignals, signalCalls } from './signals.js';
import { noteStat } from './stat.js';
import { DATA, noteData } from './transfers.js';

const CHANGEABLE = Open.append | Open.nonblock;
const Fcntl = { setFd: 2, setFl: 4 } as const;
const FIONBIO = 0x5421;
const ENOENT = -2;

const STATS: ReadonlySet<number> = new Set([Sys.stat, Sys.fstat, Sys.lstat, Sys.newfstatat, Sys.statx]);
const DESCRIPTORS: ReadonlySet<number> = new Set([Sys.close, Sys.dup, Sys.dup2, Sys.dup3]);
const PATHS: ReadonlySet<number> = new Set([
  ...[Sys.open, Sys.creat, Sys.openat, Sys.openat2, Sys.lseek, Sys.ftruncate, Sys.truncate, Sys.fallocate],
  ...[Sys.unlink, Sys.unlinkat, Sys.rmdir, Sys.rename, Sys.renameat, Sys.renameat2, Sys.link, Sys.linkat],
  ...[Sys.mkdir, Sys.mkdirat, Sys.fchdir, Sys.fcntl, Sys.ioctl, Sys.mmap, Sys.getdents64],
  ...[Sys.symlink, Sys.symlinkat, Sys.readlink, Sys.readlinkat],
]);

/** Buffered calls that `noteFiles` has work for. */
export const isNotedInBuffer = (number: number): boolean =>
  isNotedForFiles(number) || DESCRIPTORS.has(number);

/** Calls with frames that `noteFiles` has work for. */
export const isNotedForFiles = (number: number): boolean =>
  STATS.has(number) ||
  DATA.has(number) ||
  PATHS.has(number) ||
  objectCalls.has(number) ||
  messageCalls.has(number) ||
  signalCalls.has(number);

/**
 * @param seconds the recorder's clock
 * @param isBuffered it has no frame, so its effects on descriptors are tracked only here
 */
export function noteFiles(
  core: ReplayCore,
  task: Task,
  number: number,
  registers: RegisterWords,
  result: number,
  seconds: number,
  isBuffered: boolean,
): void {
  const call = new ReturnedCall(task, number, registers, result);
  if (STATS.has(number)) return noteStat(call);
  if (result < 0) return noteFailure(call);
  if (DATA.has(number)) return noteData(call, seconds);
  if (signalCalls.has(number)) return noteSignals(core, call, seconds);
  if (objectCalls.has(number)) return makeObject(call, seconds);
  if (messageCalls.has(number)) return noteMessage(call);
  if (isBuffered) noteDescriptors(call);
  notePaths(call);
}

function noteFailure(call: ReturnedCall): void {
  const path =
    call.number === Sys.open ? call.path(0) : call.number === Sys.openat ? call.path(1, call.int(0)) : null;
  if (call.result === ENOENT && path?.startsWith('/')) call.task.fds.files.world.names.set(path, 0);
}

/** What `trackDescriptors` does for calls that have frames. */
function noteDescriptors(call: ReturnedCall): void {
  const { files } = call.task.fds;
  switch (call.number) {
    case Sys.close:
      return files.close(call.int(0));
    case Sys.dup:
    case Sys.dup2:
    case Sys.dup3:
      if (call.int(0) !== call.result) files.duplicate(call.int(0), call.result);
      return;
    case Sys.fcntl:
      if (call.int(1) === FcntlDup.dupFd || call.int(1) === FcntlDup.dupFdCloexec)
        files.duplicate(call.int(0), call.result);
  }
}

function notePaths(call: ReturnedCall): void {
  const { files } = call.task.fds;
  const { world } = files;
  switch (call.number) {
    case Sys.open:
      return noteOpen(call, call.path(0), call.int(1));
    case Sys.creat:
      return noteOpen(call, call.path(0), Open.create | Open.truncate | 1);
    case Sys.openat:
      return noteOpen(call, call.path(1, call.int(0)), call.int(2));
    case Sys.openat2:
      return noteOpen(call, call.path(1, call.int(0)), call.peek(call.pointer(2), 8)?.getInt32(0, true) ?? 0);
    case Sys.lseek:
      if (call.result === 0 && files.find(call.int(0))?.state.listed)
        files.change(call.int(0), { listed: [] });
      return files.seek(call.int(0), () => call.result);
    case Sys.ftruncate:
      return edit(files.find(call.int(0)), (id) =>
        world.edit(id, (content) => content.truncate(call.long(1))),
      );
    case Sys.truncate:
      return named(call, call.path(0), (path) =>
        world.edit(world.named(path), (content) => content.truncate(call.long(1))),
      );
    case Sys.fallocate:
      return noteAllocation(call);
    case Sys.fchdir: {
      const path = files.find(call.int(0))?.path;
      if (path?.startsWith('/')) call.task.group.directory = path;
      return;
    }
    case Sys.fcntl:
      return noteFlags(call);
    case Sys.ioctl:
      if (call.long(1) !== FIONBIO) return;
      return setFlags(
        call,
        Open.nonblock,
        call.peek(call.pointer(2), 4)?.getInt32(0, true) ? Open.nonblock : 0,
      );
    case Sys.mmap:
      return noteMapping(call);
    default:
      noteNames(call);
  }
}

const edit = (file: RecordedFile | null, change: (id: number) => void): void => {
  if (file?.state.content !== undefined) change(file.state.content);
};

function noteOpen(call: ReturnedCall, path: string | null, flags: number): void {
  const { files } = call.task.fds;
  const { world } = files;
  if (path === null || !path.startsWith('/'))
    return files.opened(call.result, path === null ? 'other' : 'file', path ?? 'a file', flags);
  if ((flags & Open.tmpFile & ~Open.directory) !== 0) {
    const content = world.newContent();
    world.edit(content, (file) => file.clear());
    return files.opened(call.result, 'file', `${path}/(deleted)`, flags, { content });
  }
  const isNew =
    (flags & Open.create) !== 0 && ((flags & Open.exclusive) !== 0 || world.names.get(path) === 0);
  if (isNew || isOfKernel(path)) world.names.set(path, world.newContent());
  const content = world.named(path);
  if (isNew || (flags & Open.truncate) !== 0) {
    world.edit(content, (file) => {
      file.clear();
      file.isWritten = true;
    });
  }
  files.opened(call.result, 'file', path, flags, { content });
}

function noteAllocation(call: ReturnedCall): void {
  const [mode, end] = [call.int(1), call.long(2) + call.long(3)];
  const { files } = call.task.fds;
  if (mode !== 0) return;
  edit(files.find(call.int(0)), (id) =>
    files.world.edit(id, (content) => {
      if (content.size !== null && content.size < end) content.truncate(end);
    }),
  );
}

function noteFlags(call: ReturnedCall): void {
  if (call.int(1) === Fcntl.setFl) setFlags(call, CHANGEABLE, call.int(2) & CHANGEABLE);
  if (call.int(1) === Fcntl.setFd)
    setFlags(call, Open.closeOnExec, (call.int(2) & 1) !== 0 ? Open.closeOnExec : 0);
}

function setFlags(call: ReturnedCall, which: number, value: number): void {
  const { files } = call.task.fds;
  const file = files.find(call.int(0));
  if (file) files.world.change(file.id, { flags: (file.flags & ~which) | value });
}

/** The recorder names a mapped file by its path without symbolic links. */
function noteMapping(call: ReturnedCall): void {
  if ((call.int(3) & MapFlag.anonymous) !== 0) return;
  const { files } = call.task.fds;
  const id = files.find(call.int(4))?.state.content;
  const path = call.task.space.vmas.find(call.result as never)?.file?.path;
  if (id !== undefined && path?.startsWith('/') && !files.world.names.has(path))
    files.world.names.set(path, id);
}
