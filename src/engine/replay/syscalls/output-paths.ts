import { OpenFlag, Sys } from '../../base/linux.js';
import type { RegisterWords } from '../../base/registers.js';
import type { StreamMonitor } from '../../task/fd-table.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { ReturnedCall, normal } from './facts/call-memory.js';

const STANDARD: Readonly<Record<string, number>> = { '/dev/stdin': 0, '/dev/stdout': 1, '/dev/stderr': 2 };
const OWN = /^\/(?:dev|proc\/(?:self|thread-self))\/fd\/(\d+)$/;
const OTHERS = /^\/proc\/(?:self|(\d+))(?:\/task\/(\d+))?\/fd\/(\d+)$/;

/**
 * The descriptor from opening a path of another descriptor, if that refers to the output. The
 * recorder treats such a file as any other, unless it is a terminal.
 */
export function openedOutput(
  core: ReplayCore,
  task: Task,
  number: number,
  registers: RegisterWords,
): StreamMonitor | null {
  const { path, flags } = openingOf(new ReturnedCall(task, number, registers, 0));
  if (path === null || (flags & OpenFlag.accessMode) === 0) return null;
  const named = descriptorNamed(path);
  const source = named && (named.tid === null ? task : taskOf(core, named.tid));
  const monitor = source?.fds.find(named!.fd);
  if (monitor?.kind !== 'stream') return null;
  const closesOnExec = (flags & OpenFlag.closeOnExec) !== 0;
  return { kind: 'stream', stream: monitor.stream, unframed: true, closesOnExec };
}

function openingOf(call: ReturnedCall): { path: string | null; flags: number } {
  switch (call.number) {
    case Sys.open:
      return { path: call.path(0), flags: call.int(1) };
    case Sys.creat:
      return { path: call.path(0), flags: OpenFlag.writeOnly };
    case Sys.openat:
      return { path: pathIn(call), flags: call.int(2) };
    default:
      // openat2: struct open_how begins with the flags (include/uapi/linux/openat2.h).
      return {
        path: pathIn(call),
        flags: call.peek(call.pointer(2), 8)?.getInt32(0, true) ?? 0,
      };
  }
}

/** The path argument, relative to the folder of another's descriptors, which is also known from the trace. */
function pathIn(call: ReturnedCall): string | null {
  const folder = call.task.fds.find(call.int(0));
  if (folder?.kind !== 'descriptors') return call.path(1, call.int(0));
  const name = call.text(call.pointer(1));
  return name === null || name.startsWith('/') ? call.path(1) : normal(`/proc/${folder.tid}/fd/${name}`);
}

/** The descriptor that a path names; `tid` null: of the task itself. */
export function descriptorNamed(name: string): { tid: number | null; fd: number } | null {
  if (name in STANDARD) return { tid: null, fd: STANDARD[name] };
  const own = OWN.exec(name);
  if (own) return { tid: null, fd: Number(own[1]) };
  const other = OTHERS.exec(name);
  if (!other) return null;
  const tid = other[2] ?? other[1];
  return { tid: tid === undefined ? null : Number(tid), fd: Number(other[3]) };
}

/** The task of a number in /proc; for a process whose leader has exited, another thread. */
export function taskOf(core: ReplayCore, tid: number): Task | null {
  const task = core.tasks.get(tid);
  if (task) return task;
  for (const other of core.tasks.values()) if (other.group.tgid === tid) return other;
  return null;
}
