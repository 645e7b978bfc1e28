import { gva, type Gva } from '../../engine/base/address.js';
import { Prot } from '../../engine/mm/vma.js';
import { E, fail } from '../base/errno.js';
import type { Wait } from '../kernel/process.js';
import { ALL_BITS } from '../kernel/futex.js';
import { startOf, type Call, type Handlers, type Outcome } from './dispatch.js';
import { readTimespec } from './time.js';

const Op = {
  wait: 0,
  wake: 1,
  requeue: 3,
  cmpRequeue: 4,
  wakeOp: 5,
  lockPi: 6,
  unlockPi: 7,
  tryLockPi: 8,
  waitBitset: 9,
  wakeBitset: 10,
  lockPi2: 13,
} as const;
const OP_MASK = 0x7f;
const CLOCK_REALTIME_FLAG = 0x100;
const WAITERS = 0x8000_0000;
const OWNER_DIED = 0x4000_0000;
const TID_MASK = 0x3fff_ffff;

function futex(call: Call): Outcome {
  const [at, operation, value, fourth, second, third] = call.args;
  const { kernel, thread } = call;
  if (at % 4 !== 0) fail(E.EINVAL);
  const { space } = thread.task;
  if (at < 0 || !space.allows(gva(at), 4, Prot.read)) fail(E.EFAULT);
  const [address, other] = [gva(at), gva(second)];
  switch (operation & OP_MASK) {
    case Op.wait:
    case Op.waitBitset:
      return wait(call, address, value >>> 0);
    case Op.wake:
      return kernel.futexes.wake(space, address, value | 0);
    case Op.wakeBitset:
      return kernel.futexes.wake(space, address, value | 0, third >>> 0);
    case Op.cmpRequeue:
      if (call.memory.u32(address) !== third >>> 0) fail(E.EAGAIN);
      return requeue(call, address, other, value, fourth, true);
    case Op.requeue:
      return requeue(call, address, other, value, fourth, false);
    case Op.wakeOp:
      return wakeOp(call, address, other);
    case Op.lockPi:
    case Op.lockPi2:
      return lockPi(call, address);
    case Op.tryLockPi:
      return takePi(call, address) ? 0 : fail(E.EAGAIN);
    case Op.unlockPi:
      return unlockPi(call, address);
    default:
      return fail(E.ENOSYS);
  }
}

/** FUTEX_WAIT has a relative timeout, FUTEX_WAIT_BITSET an absolute one. */
function wait(call: Call, at: Gva, expected: number): Wait {
  const [, operation, , timeoutAt, , bits] = call.args;
  const { kernel, thread } = call;
  const relative = (operation & OP_MASK) === Op.wait;
  let deadline: bigint | undefined;
  if (timeoutAt !== 0) {
    const time = readTimespec(call.memory, timeoutAt);
    const clock = operation & CLOCK_REALTIME_FLAG ? 0 : 1;
    deadline = relative ? startOf(call) + time : kernel.clock.toMonotonic(clock, time);
  }
  if (call.memory.u32(at) !== expected) fail(E.EAGAIN);
  return kernel.futexes.wait(thread.task.space, at, relative ? ALL_BITS : bits >>> 0, deadline);
}

function requeue(call: Call, from: Gva, to: Gva, wake: number, move: number, all: boolean): number {
  const { space } = call.thread.task;
  const woken = call.kernel.futexes.wake(space, from, wake | 0);
  const moved = call.kernel.futexes.requeue(space, from, to, move);
  return all ? woken + moved : woken;
}

/** Changes the second word, wakes at the first, and at the second if its old value compares (futex(2)). */
function wakeOp(call: Call, first: Gva, second: Gva): number {
  const [, , wakeFirst, wakeSecond, , encoded] = call.args;
  const { kernel, thread } = call;
  const code = encoded >>> 0;
  const operand = (((code >>> 12) & 0xfff) << 20) >> 20;
  const comparand = ((code & 0xfff) << 20) >> 20;
  const argument = code & 0x8000_0000 ? 1 << (operand & 31) : operand;
  const before = call.memory.u32(second) | 0;
  const operations = [argument, before + argument, before | argument, before & ~argument, before ^ argument];
  const result = operations[(code >>> 28) & 7];
  if (result === undefined) fail(E.ENOSYS);
  call.memory.setU32(second, result);
  const comparisons = [
    before === comparand,
    before !== comparand,
    before < comparand,
    before <= comparand,
    before > comparand,
    before >= comparand,
  ];
  const { space } = thread.task;
  let woken = kernel.futexes.wake(space, first, wakeFirst | 0);
  if (comparisons[(code >>> 24) & 15]) woken += kernel.futexes.wake(space, second, wakeSecond);
  return woken;
}

/** Priority inheritance has no effect here: waiters get the lock in order. */
function takePi(call: Call, at: Gva): boolean {
  const { tid, task } = call.thread;
  const value = call.memory.u32(at);
  const owner = value & TID_MASK;
  if (owner === tid) fail(E.EDEADLK);
  if (owner !== 0 && call.kernel.threads.has(owner)) {
    call.memory.setU32(at, value | WAITERS);
    return false;
  }
  const waiters = call.kernel.futexes.hasWaiters(task.space, at) ? WAITERS : 0;
  call.memory.setU32(at, tid | waiters | (value & OWNER_DIED));
  return true;
}

function lockPi(call: Call, at: Gva): Outcome {
  if (takePi(call, at)) return 0;
  const [, operation, , timeoutAt] = call.args;
  const clock = (operation & OP_MASK) === Op.lockPi || operation & CLOCK_REALTIME_FLAG ? 0 : 1;
  const { kernel, thread } = call;
  const deadline =
    timeoutAt === 0 ? undefined : kernel.clock.toMonotonic(clock, readTimespec(call.memory, timeoutAt));
  const queued = kernel.futexes.wait(thread.task.space, at, ALL_BITS, deadline);
  return { ...queued, interrupted: 'always', poll: () => (takePi(call, at) ? 0 : null) };
}

function unlockPi(call: Call, at: Gva): number {
  const { kernel, thread } = call;
  if ((call.memory.u32(at) & TID_MASK) !== thread.tid) fail(E.EPERM);
  call.memory.setU32(at, kernel.futexes.hasWaiters(thread.task.space, at) ? WAITERS : 0);
  return 0;
}

function setRobustList(call: Call): number {
  const [head, size] = call.args;
  if (size !== 24) fail(E.EINVAL);
  call.thread.task.robustList = gva(head);
  return 0;
}

function getRobustList(call: Call): number {
  const [tid, headAt, sizeAt] = call.args;
  const thread = tid === 0 ? call.thread : (call.kernel.threads.get(tid) ?? fail(E.ESRCH));
  call.memory.setWords(headAt, [thread.task.robustList]);
  call.memory.setWords(sizeAt, [24]);
  return 0;
}

/** Registers a restartable sequence; the processor's number is always the recorded one. */
function rseq(call: Call): number {
  const [pointer, length, flags, signature] = call.args;
  const { task } = call.thread;
  if (flags & 1) {
    if (task.rseq?.pointer !== pointer) fail(E.EINVAL);
    task.rseq = null;
    return 0;
  }
  if (task.rseq) fail(task.rseq.pointer === pointer ? E.EBUSY : E.EINVAL);
  if (length < 32 || pointer % 32 !== 0) fail(E.EINVAL);
  task.rseq = { pointer: gva(pointer), signature: signature >>> 0 };
  call.memory.setWords(pointer, [call.kernel.facts.cpu * 2 ** 32 + call.kernel.facts.cpu]);
  return 0;
}

export const futexCalls: Handlers = {
  futex,
  set_robust_list: setRobustList,
  get_robust_list: getRobustList,
  rseq,
};
