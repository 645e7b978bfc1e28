/** Descriptors without a path, and their state as set by calls. */
import { Sys } from '../../../base/linux.js';
import type {
  FileKind,
  RecordedFiles,
  RecordedInterest,
  RecordedState,
} from '../../../task/recorded-files.js';
import type { ReturnedCall } from './call-memory.js';

const CLOSE_ON_EXEC = 0o2000000;
const READ_WRITE = 2;
const EFD_SEMAPHORE = 1;
const MFD_CLOEXEC = 1;
const TIMER_ABSTIME = 1;
const Control = { add: 1, remove: 2, change: 3 } as const;
const BILLION = 1_000_000_000n;

/** Calls that make a descriptor of which only the kind is known. */
const PLAIN: ReadonlyMap<number, readonly [FileKind, string, number]> = new Map([
  [Sys.inotify_init, ['inotify', 'an inotify descriptor', -1]],
  [Sys.inotify_init1, ['inotify', 'an inotify descriptor', 0]],
  [Sys.userfaultfd, ['other', 'a userfaultfd', 0]],
  [Sys.io_uring_setup, ['other', 'an io_uring', -1]],
]);

export const objectCalls: ReadonlySet<number> = new Set([
  ...PLAIN.keys(),
  ...[Sys.epoll_create, Sys.epoll_create1, Sys.epoll_ctl, Sys.eventfd, Sys.eventfd2, Sys.pidfd_open],
  ...[Sys.timerfd_create, Sys.timerfd_settime, Sys.signalfd, Sys.signalfd4, Sys.memfd_create],
  ...[Sys.pipe, Sys.pipe2, Sys.socketpair],
]);

/** A call of `objectCalls` that succeeded. */
export function makeObject(call: ReturnedCall, seconds: number): void {
  const { files } = call.task.fds;
  const made = (
    kind: FileKind,
    flags: number,
    state: RecordedState,
    path = `a descriptor of ${kind}`,
  ): void => files.opened(call.result, kind, path, READ_WRITE | flags, state);
  switch (call.number) {
    case Sys.epoll_create:
    case Sys.epoll_create1:
      return made('epoll', call.number === Sys.epoll_create1 ? call.int(0) : 0, { interests: [] });
    case Sys.epoll_ctl:
      return noteInterest(call);
    case Sys.eventfd:
    case Sys.eventfd2: {
      const flags = call.number === Sys.eventfd2 ? call.int(1) : 0;
      const state = { count: BigInt(call.int(0) >>> 0), semaphore: (flags & EFD_SEMAPHORE) !== 0 };
      return made('eventfd', flags & ~EFD_SEMAPHORE, state);
    }
    case Sys.timerfd_create:
      return made('timerfd', call.int(1), { clock: call.int(0), first: 0n, interval: 0n });
    case Sys.timerfd_settime:
      return noteTimer(call, seconds);
    case Sys.signalfd:
    case Sys.signalfd4:
      return noteSignals(call);
    case Sys.memfd_create:
      return noteMemory(call, files);
    case Sys.pidfd_open:
      return made('pidfd', call.int(1), { pid: call.int(0) });
    case Sys.pipe:
    case Sys.pipe2:
      return noteEnds(call, 'pipe', 0, call.number === Sys.pipe2 ? call.int(1) : 0);
    case Sys.socketpair:
      return noteEnds(call, 'pair', 3, call.int(1) & ~0xf);
    default: {
      const [kind, path, flags] = PLAIN.get(call.number) ?? ['other', 'something', -1];
      return made(kind, flags < 0 ? 0 : call.int(flags), {}, path);
    }
  }
}

/** Both ends have the same name, by which they are matched. */
function noteEnds(call: ReturnedCall, kind: 'pipe' | 'pair', argument: number, flags: number): void {
  const view = call.peek(call.pointer(argument), 8);
  if (!view) return;
  const [first, second] = [view.getInt32(0, true), view.getInt32(4, true)];
  const { files } = call.task.fds;
  const what = kind === 'pipe' ? 'a pipe' : 'a pair of sockets';
  const name = `${what} (${call.task.tid}:${first}:${second}:${call.task.ticks}:${files.world.made++})`;
  files.opened(first, kind, name, kind === 'pipe' ? flags : flags | READ_WRITE, { end: 0 });
  files.opened(second, kind, name, kind === 'pipe' ? flags | 1 : flags | READ_WRITE, { end: 1 });
}

/** struct epoll_event, packed: u32 events, u64 data. */
function noteInterest(call: ReturnedCall): void {
  const { files } = call.task.fds;
  const set = files.find(call.int(0));
  if (set?.kind !== 'epoll') return;
  const [operation, fd] = [call.int(1), call.int(2)];
  const file = files.find(fd)?.id ?? 0;
  // Several descriptions may have the number, one after the other: the older stays while another descriptor has it.
  const others = (set.state.interests ?? []).filter((one) => one.fd !== fd || one.file !== file);
  const event = operation === Control.remove ? null : call.peek(call.pointer(3), 12);
  const interest: RecordedInterest[] = event
    ? [{ fd, file, events: event.getUint32(0, true), data: event.getBigUint64(4, true) }]
    : [];
  files.change(call.int(0), { interests: [...others, ...interest] });
}

/** struct itimerspec: interval, value; each seconds and nanoseconds. */
function noteTimer(call: ReturnedCall, seconds: number): void {
  const spec = call.peek(call.pointer(2), 32);
  if (!spec) return;
  const nanos = (at: number): bigint => spec.getBigInt64(at, true) * BILLION + spec.getBigInt64(at + 8, true);
  const isAbsolute = (call.int(1) & TIMER_ABSTIME) !== 0;
  const { files } = call.task.fds;
  files.change(call.int(0), { interval: nanos(0), first: nanos(16), isAbsolute, armedAt: seconds });
}

function noteSignals(call: ReturnedCall): void {
  const mask = call.peek(call.pointer(1), 8)?.getBigUint64(0, true) ?? 0n;
  const { files } = call.task.fds;
  const flags = call.number === Sys.signalfd4 ? call.int(3) : 0;
  if (call.int(0) === -1)
    files.opened(call.result, 'signalfd', 'a descriptor of signals', READ_WRITE | flags, { mask });
  else files.change(call.int(0), { mask });
}

function noteMemory(call: ReturnedCall, files: RecordedFiles): void {
  const content = files.world.newContent();
  files.world.edit(content, (file) => file.clear());
  const path = `/memfd:${call.text(call.pointer(0)) ?? ''} (deleted)`;
  const closes = (call.int(1) & MFD_CLOEXEC) !== 0 ? CLOSE_ON_EXEC : 0;
  files.opened(call.result, 'file', path, READ_WRITE | closes, { content });
}
