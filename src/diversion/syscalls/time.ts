import { E, fail } from '../base/errno.js';
import { TimerFd } from '../files/pipe.js';
import type { PosixTimer } from '../kernel/kernel.js';
import type { Wait } from '../kernel/process.js';
import { HIGHEST_SIGNAL, Sig } from '../kernel/pending.js';
import type { UserMemory } from '../base/user-memory.js';
import { startOf, type Call, type Handlers } from './dispatch.js';

const BILLION = 1_000_000_000n;
const TIMER_ABSTIME = 1;
const ITIMER_REAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD_ID = 4;
const MAX_TIMERS = 256;

/**
 * Nanoseconds of a struct timespec.
 * @throws EINVAL
 */
export function readTimespec(memory: UserMemory, at: number): bigint {
  const view = memory.view(at, 16);
  const [seconds, nanos] = [view.getBigInt64(0, true), view.getBigInt64(8, true)];
  if (seconds < 0n || nanos < 0n || nanos >= BILLION) fail(E.EINVAL);
  return seconds * BILLION + nanos;
}

/** Nanoseconds of a struct timeval. */
export function readTimeval(memory: UserMemory, at: number): bigint {
  const view = memory.view(at, 16);
  const [seconds, micros] = [view.getBigInt64(0, true), view.getBigInt64(8, true)];
  if (seconds < 0n || micros < 0n || micros >= 1_000_000n) fail(E.EINVAL);
  return seconds * BILLION + micros * 1000n;
}

/** When a timeout of this many nanoseconds from now is over; a null pointer: never. */
export function deadlineAt(call: Call, at: number): bigint | undefined {
  return at === 0 ? undefined : startOf(call) + readTimespec(call.memory, at);
}

const timespec = (nanos: bigint): bigint[] => [nanos / BILLION, nanos % BILLION];
const timeval = (nanos: bigint): bigint[] => [nanos / BILLION, (nanos % BILLION) / 1000n];

function sleepUntil(call: Call, deadline: bigint, remainderAt: number): Wait {
  const { clock } = call.kernel;
  return {
    poll: () => null,
    deadline,
    timedOut: 0,
    interrupted: 'eintr',
    end: () => {
      const left = deadline - clock.monotonic;
      if (remainderAt !== 0 && left > 0n) call.memory.setWords(remainderAt, timespec(left));
    },
    what: 'the end of its sleep',
  };
}

function clockNanosleep(call: Call): Wait {
  const [clock, flags, request, remainder] = call.args;
  if (!call.kernel.clock.isKnown(clock)) fail(E.EINVAL);
  const time = readTimespec(call.memory, request);
  if (flags & TIMER_ABSTIME) return sleepUntil(call, call.kernel.clock.toMonotonic(clock, time), 0);
  return sleepUntil(call, startOf(call) + time, remainder);
}

function clockGettime(call: Call): number {
  const [clock, at] = call.args;
  if (!call.kernel.clock.isKnown(clock)) fail(E.EINVAL);
  call.memory.setWords(at, timespec(call.kernel.clock.read(clock)));
  return 0;
}

function storeTimer(
  call: Call,
  at: number,
  next: bigint,
  interval: bigint,
  split: (nanos: bigint) => bigint[],
): void {
  if (at === 0) return;
  const left = next === 0n ? 0n : next - call.kernel.clock.monotonic;
  call.memory.setWords(at, [
    ...split(interval),
    ...split(left > 0n || next === 0n ? (left > 0n ? left : 0n) : 1n),
  ]);
}

function setitimer(call: Call): number {
  const [which, newAt, oldAt] = call.args;
  const { alarm } = call.thread.process;
  if (which !== ITIMER_REAL) return which > 0 && which <= 2 ? 0 : fail(E.EINVAL);
  const interval = newAt === 0 ? 0n : readTimeval(call.memory, newAt);
  const value = newAt === 0 ? 0n : readTimeval(call.memory, newAt + 16);
  storeTimer(call, oldAt, alarm.next, alarm.interval, timeval);
  alarm.next = value === 0n ? 0n : call.kernel.clock.monotonic + value;
  alarm.interval = interval;
  return 0;
}

function getitimer(call: Call): number {
  const { alarm } = call.thread.process;
  storeTimer(call, call.args[1], alarm.next, alarm.interval, timeval);
  return 0;
}

/** Seconds; returns what was left of the one before, rounded up. */
function alarm(call: Call): number {
  const timer = call.thread.process.alarm;
  const now = call.kernel.clock.monotonic;
  const left = timer.next > now ? Number((timer.next - now + BILLION - 1n) / BILLION) : 0;
  const seconds = call.args[0];
  timer.next = seconds === 0 ? 0n : now + BigInt(seconds) * BILLION;
  timer.interval = 0n;
  return left;
}

/** struct sigevent: value, signo, notify, tid. */
function timerCreate(call: Call): number {
  const [clock, eventAt, idAt] = call.args;
  const { kernel, thread } = call;
  if (!kernel.clock.isKnown(clock)) fail(E.EINVAL);
  if (kernel.timers.length >= MAX_TIMERS) fail(E.EAGAIN);
  const event = eventAt === 0 ? null : call.memory.view(eventAt, 20);
  const notify = event ? event.getInt32(12, true) : 0;
  const signal = event ? event.getInt32(8, true) : Sig.ALRM;
  if (notify !== SIGEV_NONE && (signal < 1 || signal > HIGHEST_SIGNAL)) fail(E.EINVAL);
  const timer: PosixTimer = {
    id: kernel.nextTimer++,
    process: thread.process,
    clock,
    signal: notify === SIGEV_NONE ? 0 : signal,
    value: event ? event.getBigUint64(0, true) : 0n,
    tid: notify === SIGEV_THREAD_ID && event ? event.getInt32(16, true) : 0,
    next: 0n,
    interval: 0n,
    overrun: 0,
  };
  kernel.timers.push(timer);
  call.memory.setU32(idAt, timer.id);
  return 0;
}

function timerOf(call: Call): PosixTimer {
  const timer = call.kernel.timers.find(
    ({ id, process }) => id === call.args[0] && process === call.thread.process,
  );
  return timer ?? fail(E.EINVAL);
}

function timerSettime(call: Call): number {
  const timer = timerOf(call);
  const [, flags, newAt, oldAt] = call.args;
  const interval = readTimespec(call.memory, newAt);
  const value = readTimespec(call.memory, newAt + 16);
  storeTimer(call, oldAt, timer.next, timer.interval, timespec);
  const { clock } = call.kernel;
  const due = flags & TIMER_ABSTIME ? clock.toMonotonic(timer.clock, value) : clock.monotonic + value;
  timer.next = value === 0n ? 0n : due;
  timer.interval = interval;
  return 0;
}

function timerGettime(call: Call): number {
  const timer = timerOf(call);
  storeTimer(call, call.args[1], timer.next, timer.interval, timespec);
  return 0;
}

function timerDelete(call: Call): number {
  call.kernel.timers.splice(call.kernel.timers.indexOf(timerOf(call)), 1);
  return 0;
}

function timerfdSettime(call: Call): number {
  const [fd, flags, newAt, oldAt] = call.args;
  const file = call.thread.process.descriptors.get(fd | 0);
  if (!(file instanceof TimerFd)) fail(E.EINVAL);
  if (oldAt !== 0) call.memory.setWords(oldAt, [...timespec(file.interval), ...timespec(0n)]);
  const value = readTimespec(call.memory, newAt + 16);
  file.interval = readTimespec(call.memory, newAt);
  const base = flags & TIMER_ABSTIME ? 0n : call.kernel.clock.now(file.clock);
  file.next = value === 0n ? 0n : base + value;
  return 0;
}

function timerfdGettime(call: Call): number {
  const file = call.thread.process.descriptors.get(call.args[0] | 0);
  if (!(file instanceof TimerFd)) fail(E.EINVAL);
  const left = file.next === 0n ? 0n : file.next - call.kernel.clock.now(file.clock);
  call.memory.setWords(call.args[1], [...timespec(file.interval), ...timespec(left > 0n ? left : 0n)]);
  return 0;
}

export const timeCalls: Handlers = {
  nanosleep: (call) =>
    sleepUntil(call, startOf(call) + readTimespec(call.memory, call.args[0]), call.args[1]),
  clock_nanosleep: clockNanosleep,
  clock_gettime: clockGettime,
  clock_getres: (call) => {
    if (!call.kernel.clock.isKnown(call.args[0])) fail(E.EINVAL);
    if (call.args[1] !== 0) call.memory.setWords(call.args[1], [0, 1]);
    return 0;
  },
  clock_settime: () => fail(E.EPERM),
  settimeofday: () => fail(E.EPERM),
  gettimeofday: (call) => {
    if (call.args[0] !== 0) call.memory.setWords(call.args[0], timeval(call.kernel.clock.read(0)));
    if (call.args[1] !== 0) call.memory.setU64(call.args[1], 0n);
    return 0;
  },
  time: (call) => {
    const seconds = call.kernel.clock.read(0) / BILLION;
    if (call.args[0] !== 0) call.memory.setU64(call.args[0], seconds);
    return Number(seconds);
  },
  times: (call) => {
    const ticks = call.kernel.clock.elapsed / 10_000_000n;
    if (call.args[0] !== 0) call.memory.setWords(call.args[0], [ticks, 0, 0, 0]);
    return Number(call.kernel.clock.monotonic / 10_000_000n);
  },
  setitimer,
  getitimer,
  alarm,
  timer_create: timerCreate,
  timer_settime: timerSettime,
  timer_gettime: timerGettime,
  timer_getoverrun: (call) => timerOf(call).overrun,
  timer_delete: timerDelete,
  timerfd_settime: timerfdSettime,
  timerfd_gettime: timerfdGettime,
};
