import { CloneFlag } from '../../engine/base/linux.js';
import { E, fail } from '../base/errno.js';
import type { Process, Wait } from '../kernel/process.js';
import { HIGHEST_SIGNAL, childSignal, Sig } from '../kernel/pending.js';
import { cloneThread, type CloneRequest } from '../tasks/clone.js';
import { exitProcess, exitThread } from '../tasks/exit.js';
import { executeProgram } from '../exec/execute.js';
import type { Call, Handlers, Outcome } from './dispatch.js';
import { directoryOf } from './paths.js';

const CSIGNAL = 0xff;
const CLONE_ARGS_V0 = 64;
const CLONE_CLEAR_SIGHAND = 1n << 32n;
const KNOWN_FLAGS = 0xffff_ffffn | CLONE_CLEAR_SIGHAND;
/** What would need name spaces, descriptors of processes or control groups. */
const REFUSED_FLAGS = 0x7e02_1000;
const Wait4 = { noHang: 1, untraced: 2, exited: 4, continued: 8, noWait: 0x100_0000 } as const;
const IdType = { all: 0, pid: 1, group: 2 } as const;
/** Limit of zombie processes, as a multiple of the tasks. */
const ZOMBIES = 4;
/** Of arguments or environment with their pointers (ARG_MAX with the usual stack limit). */
const MAX_ARGUMENT_BYTES = 1 << 21;
const AT_FDCWD = -100;

function clone(call: Call, request: CloneRequest): Outcome {
  const { kernel } = call;
  if (request.exitSignal > HIGHEST_SIGNAL) fail(E.EINVAL);
  if (request.flags & REFUSED_FLAGS) fail(E.EPERM);
  const { tasks } = kernel.policy.limits;
  if (kernel.threads.size >= tasks || kernel.processes.size >= tasks * ZOMBIES) {
    kernel.warnOnce('tasks', {}, `the diversion has ${kernel.threads.size} tasks, which is its limit`);
    fail(E.EAGAIN);
  }
  return cloneThread(kernel, call.thread, request);
}

/** struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls. */
function clone3(call: Call): Outcome {
  const [at, size] = call.args;
  if (size < CLONE_ARGS_V0) fail(E.EINVAL);
  const view = call.memory.view(at, CLONE_ARGS_V0);
  const word = (index: number): number => Number(view.getBigUint64(8 * index, true));
  const flags = view.getBigUint64(0, true);
  if (flags & ~KNOWN_FLAGS) fail(E.EINVAL);
  const [stack, stackSize] = [word(5), word(6)];
  return clone(call, {
    flags: Number(flags & 0xffff_ffffn),
    clearHandlers: (flags & CLONE_CLEAR_SIGHAND) !== 0n,
    exitSignal: word(4),
    stack: stack === 0 ? 0 : stack + stackSize,
    parentTid: word(3),
    childTid: word(2),
    tls: word(7),
  });
}

/** clone(flags, stack, parent_tid, child_tid, tls). */
const plainClone = (call: Call): Outcome =>
  clone(call, {
    flags: (call.args[0] & ~CSIGNAL) >>> 0,
    clearHandlers: false,
    exitSignal: call.args[0] & CSIGNAL,
    stack: call.args[1],
    parentTid: call.args[2],
    childTid: call.args[3],
    tls: call.args[4],
  });

const simpleFork =
  (flags: number) =>
  (call: Call): Outcome =>
    clone(call, {
      flags,
      clearHandlers: false,
      exitSignal: Sig.CHLD,
      stack: 0,
      parentTid: 0,
      childTid: 0,
      tls: 0,
    });

/** The child that `matches` and has ended; null: there are such children, but none has; ECHILD: none at all. */
function endedChild(call: Call, matches: (child: Process) => boolean): Process | null {
  const candidates = [...call.thread.process.children].filter(matches);
  if (candidates.length === 0) fail(E.ECHILD);
  return candidates.find(({ status }) => status !== null) ?? null;
}

function forget(call: Call, child: Process): void {
  call.thread.process.children.delete(child);
  call.kernel.processes.delete(child.pid);
}

function wait4(call: Call): Outcome {
  const [, statusAt, options, usageAt] = call.args;
  const pid = call.args[0] | 0;
  const { process } = call.thread;
  const matches = (child: Process): boolean =>
    pid === -1 || (pid > 0 ? child.pid === pid : child.group === (pid === 0 ? process.group : -pid));
  const poll = (): number | null => {
    const child = endedChild(call, matches);
    if (!child) return options & Wait4.noHang ? 0 : null;
    if (statusAt !== 0) call.memory.setU32(statusAt, child.status ?? 0);
    if (usageAt !== 0) call.memory.write(usageAt, new Uint8Array(144));
    forget(call, child);
    return child.pid;
  };
  return waiting(poll, pid > 0 ? `process ${pid} to end` : 'a child to end');
}

function waiting(poll: () => number | null, what: string): Outcome {
  const first = poll();
  if (first !== null) return first;
  return { poll, interrupted: 'restart', what } satisfies Wait;
}

function waitid(call: Call): Outcome {
  const [type, , infoAt, options] = call.args;
  const id = call.args[1] | 0;
  if (!(options & (Wait4.exited | Wait4.untraced | Wait4.continued))) fail(E.EINVAL);
  if (type > IdType.group) fail(E.EINVAL);
  const matches = (child: Process): boolean =>
    type === IdType.all || (type === IdType.pid ? child.pid === id : child.group === id);
  const poll = (): number | null => {
    const child = endedChild(call, matches);
    if (!child && !(options & Wait4.noHang)) return null;
    if (infoAt !== 0) call.memory.write(infoAt, child ? infoOf(child) : new Uint8Array(128));
    if (child && !(options & Wait4.noWait)) forget(call, child);
    return 0;
  };
  return waiting(poll, 'a child to end');
}

function infoOf({ status, pid, credentials }: Process): Uint8Array {
  const signal = (status ?? 0) & 0x7f;
  const code = signal === 0 ? 1 : (status ?? 0) & 0x80 ? 3 : 2;
  return childSignal(Sig.CHLD, code, pid, credentials.uid, signal === 0 ? (status ?? 0) >> 8 : signal).info;
}

/** A vector of pointers to strings. */
function strings(call: Call, at: number): string[] {
  const list: string[] = [];
  if (at === 0) return list;
  for (let bytes = 0; bytes < MAX_ARGUMENT_BYTES;) {
    const pointer = call.memory.word(at + 8 * list.length);
    if (pointer === 0) return list;
    const text = call.memory.string(pointer, 1 << 17);
    list.push(text);
    bytes += text.length + 9;
  }
  return fail(E.E2BIG);
}

function execve(call: Call, fd: number, at: number, argumentsAt: number, environmentAt: number): Outcome {
  const path = call.memory.string(at);
  const directory = path.startsWith('/') ? '/' : directoryOf(call, fd);
  executeProgram(call.kernel, call.thread, {
    directory,
    path,
    arguments: strings(call, argumentsAt),
    environment: strings(call, environmentAt),
  });
  return null;
}

export const taskCalls: Handlers = {
  clone: plainClone,
  clone3,
  fork: simpleFork(0),
  vfork: simpleFork(CloneFlag.vm | CloneFlag.vfork),
  wait4,
  waitid,
  exit: ({ kernel, thread, args }) => {
    exitThread(kernel, thread, (args[0] & 0xff) << 8);
    return null;
  },
  exit_group: ({ kernel, thread, args }) => {
    exitProcess(kernel, thread.process, (args[0] & 0xff) << 8);
    return null;
  },
  execve: (call) => execve(call, AT_FDCWD, call.args[0], call.args[1], call.args[2]),
  execveat: (call) => execve(call, call.args[0], call.args[1], call.args[2], call.args[3]),
  unshare: (call) => {
    if (call.args[0] & ~(CloneFlag.files | CloneFlag.fs)) fail(E.EPERM);
    const { process } = call.thread;
    const shared = process.descriptors;
    if (call.args[0] & CloneFlag.files && shared.users > 1) {
      process.descriptors = shared.clone();
      shared.leave();
    }
    return 0;
  },
};
