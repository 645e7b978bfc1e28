import { Reg, getUnsigned } from '../../engine/base/registers.js';
import {
  SIGACTION_BYTES,
  SIG_DFL,
  SIG_IGN,
  UNBLOCKABLE,
  readAction,
  readAltStack,
  signalBit,
  writeAction,
  type SignalAction,
} from '../../engine/task/signal-state.js';
import { E, fail } from '../base/errno.js';
import { PidFd } from '../devices/event-files.js';
import type { Process, Wait } from '../kernel/process.js';
import { isOnAltStack, sigreturn } from '../tasks/deliver.js';
import {
  Code,
  HIGHEST_SIGNAL,
  SIGINFO_BYTES,
  Sig,
  defaultAction,
  queuedSignal,
  userSignal,
} from '../kernel/pending.js';
import { send } from '../signals/send.js';
import type { Call, Handlers, Outcome } from './dispatch.js';
import { deadlineAt } from './time.js';

const SETSIZE = 8;
const MIN_ALT_STACK = 2048;
const SS_DISABLE = 2;
const SS_ON_STACK = 1;

/** A handler that ignores drops what is pending. */
function isIgnoring({ handler }: SignalAction, signal: number): boolean {
  return handler === SIG_IGN || (handler === SIG_DFL && defaultAction(signal) === 'ignore');
}

function sigaction(call: Call): number {
  const [signal, newAt, oldAt, size] = call.args;
  const { process } = call.thread;
  if (size !== SETSIZE || signal < 1 || signal > HIGHEST_SIGNAL) fail(E.EINVAL);
  if (newAt !== 0 && (signal === Sig.KILL || signal === Sig.STOP)) fail(E.EINVAL);
  const before = process.actions.of(signal);
  const action = newAt === 0 ? null : readAction(call.memory.bytes(newAt, SIGACTION_BYTES));
  if (oldAt !== 0) call.memory.write(oldAt, writeAction(before));
  if (!action) return 0;
  process.actions.set(signal, { ...action, mask: action.mask & ~UNBLOCKABLE });
  if (!isIgnoring(action, signal)) return 0;
  process.pending.discard(signalBit(signal));
  for (const thread of process.threads) thread.pending.discard(signalBit(signal));
  return 0;
}

function sigprocmask(call: Call): number {
  const [how, setAt, oldAt, size] = call.args;
  const { task } = call.thread;
  if (size !== SETSIZE) fail(E.EINVAL);
  const before = task.signalMask;
  if (setAt !== 0) {
    const set = call.memory.u64(setAt);
    if (how < 0 || how > 2) fail(E.EINVAL);
    const changed = how === 0 ? before | set : how === 1 ? before & ~set : set;
    task.signalMask = changed & ~UNBLOCKABLE;
  }
  if (oldAt !== 0) call.memory.setU64(oldAt, before);
  return 0;
}

function altStack(call: Call): number {
  const [newAt, oldAt] = call.args;
  const { task } = call.thread;
  const stackPointer = getUnsigned(call.kernel.core.registers(task), Reg.rsp);
  const on = isOnAltStack(task.altStack, stackPointer);
  const { pointer, size, flags } = task.altStack;
  const stack = newAt === 0 ? null : readAltStack(call.memory.bytes(newAt, 24));
  if (stack && on) fail(E.EPERM);
  if (stack && stack.size !== 0 && stack.size < MIN_ALT_STACK) fail(E.ENOMEM);
  if (oldAt !== 0)
    call.memory.setWords(oldAt, [pointer, flags | (size === 0 ? SS_DISABLE : on ? SS_ON_STACK : 0), size]);
  if (stack) task.altStack = stack;
  return 0;
}

/** Waits with another mask until a handler ran. */
function sigsuspend(call: Call): Wait {
  useMask(call, call.args[0], call.args[1]);
  return { poll: () => null, interrupted: 'eintr', what: 'a signal' };
}

/** Sets a mask until the call returns; a null pointer: none. */
export function useMask(call: Call, at: number, size: number): void {
  if (at === 0) return;
  if (size !== SETSIZE) fail(E.EINVAL);
  const mask = call.memory.u64(at);
  call.thread.savedMask ??= call.thread.task.signalMask;
  call.thread.task.signalMask = mask & ~UNBLOCKABLE;
}

function sigtimedwait(call: Call): Outcome {
  const [setAt, infoAt, timeoutAt, size] = call.args;
  if (size !== SETSIZE) fail(E.EINVAL);
  const wanted = call.memory.u64(setAt) & ~UNBLOCKABLE;
  const { thread } = call;
  const take = (): number | null => {
    const signal = thread.pending.take(wanted) ?? thread.process.pending.take(wanted);
    if (!signal) return null;
    if (infoAt !== 0) call.memory.write(infoAt, signal.info);
    return signal.number;
  };
  const first = take();
  if (first !== null) return first;
  const deadline = deadlineAt(call, timeoutAt);
  return {
    poll: take,
    deadline,
    timedOut: -E.EAGAIN,
    interrupted: 'eintr',
    what: 'requested signals',
  };
}

function pending(call: Call): number {
  const { thread } = call;
  const mask = (thread.pending.mask | thread.process.pending.mask) & thread.task.signalMask;
  call.memory.setU64(call.args[0], mask);
  return 0;
}

function requireSignal(number: number): void {
  if (number < 0 || number > HIGHEST_SIGNAL) fail(E.EINVAL);
}

/** Throws where the policy refuses what a process sends to itself. */
function allowOwn({ kernel }: Call, number: number): void {
  if (number === Sig.KILL && kernel.policy.ownKill === 'refused') fail(E.ENOSYS);
}

/** Reaches processes of the diversion only, even if the number is a process on the host. */
function kill(call: Call): number {
  const pid = call.args[0] | 0;
  const number = call.args[1] | 0;
  const { kernel, thread } = call;
  requireSignal(number);
  const { process } = thread;
  const all = [...kernel.processes.values()].filter(({ status }) => status === null);
  let targets: Process[];
  if (pid > 0) targets = all.filter((each) => each.pid === pid);
  else if (pid === -1) targets = all.filter((each) => each !== process);
  else targets = all.filter((each) => each.group === (pid === 0 ? process.group : -pid));
  if (targets.length === 0) fail(E.ESRCH);
  if (targets.includes(process)) allowOwn(call, number);
  if (number === 0) return 0;
  for (const target of targets)
    send(kernel, target, userSignal(number, Code.user, process.pid, process.credentials.uid), null);
  return 0;
}

function tgkill(call: Call, group: number, tid: number, number: number): number {
  const { kernel } = call;
  requireSignal(number);
  const thread = kernel.threads.get(tid);
  if (!thread || (group !== 0 && thread.process.pid !== group)) fail(E.ESRCH);
  if (number === 0) return 0;
  if (thread.process === call.thread.process) allowOwn(call, number);
  const { pid, credentials } = call.thread.process;
  send(kernel, thread.process, userSignal(number, Code.tkill, pid, credentials.uid), thread);
  return 0;
}

function queueInfo(call: Call, pid: number, tid: number | null, number: number, at: number): number {
  const { kernel } = call;
  requireSignal(number);
  const process = kernel.processes.get(pid) ?? fail(E.ESRCH);
  const thread = tid === null ? null : (kernel.threads.get(tid) ?? fail(E.ESRCH));
  send(kernel, process, queuedSignal(number, call.memory.bytes(at, SIGINFO_BYTES)), thread);
  return 0;
}

function pidfdSendSignal(call: Call): number {
  const [fd, number, infoAt] = call.args;
  const { kernel, thread } = call;
  const file = thread.process.descriptors.get(fd | 0);
  if (!(file instanceof PidFd)) fail(E.EBADF);
  requireSignal(number);
  const target = kernel.processes.get(file.pid);
  if (!target || target.status !== null) fail(E.ESRCH);
  if (number === 0) return 0;
  const { pid, credentials } = thread.process;
  const signal =
    infoAt === 0
      ? userSignal(number, Code.user, pid, credentials.uid)
      : queuedSignal(number, call.memory.bytes(infoAt, SIGINFO_BYTES));
  send(kernel, target, signal, null);
  return 0;
}

export const signalCalls: Handlers = {
  pidfd_send_signal: pidfdSendSignal,
  rt_sigaction: sigaction,
  rt_sigprocmask: sigprocmask,
  rt_sigreturn: ({ kernel, thread }) => {
    sigreturn(kernel, thread);
    return null;
  },
  rt_sigsuspend: sigsuspend,
  rt_sigtimedwait: sigtimedwait,
  rt_sigpending: pending,
  sigaltstack: altStack,
  pause: () => ({ poll: () => null, interrupted: 'eintr', what: 'a signal' }),
  kill,
  tkill: (call) => tgkill(call, 0, call.args[0] | 0, call.args[1] | 0),
  tgkill: (call) => tgkill(call, call.args[0] | 0, call.args[1] | 0, call.args[2] | 0),
  rt_sigqueueinfo: (call) => queueInfo(call, call.args[0], null, call.args[1], call.args[2]),
  rt_tgsigqueueinfo: (call) => queueInfo(call, call.args[0], call.args[1], call.args[2], call.args[3]),
  restart_syscall: () => fail(E.EINTR),
};
