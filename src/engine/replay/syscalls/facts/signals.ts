/** Signals that calls send and consume, timers that they set, children that they wait for: for diversions. */
import { Sys } from '../../../base/linux.js';
import { REAL_TIMER, type RecordedTimer } from '../../../task/recorded-signals.js';
import { signalBit } from '../../../task/signal-state.js';
import type { Task, ThreadGroup } from '../../../task/task.js';
import type { ReplayCore } from '../../state/core.js';
import { adoptBufferedMask } from '../../program/syscallbuf.js';
import type { ReturnedCall } from './call-memory.js';
import { noteAllMapped } from './mapped.js';

const SIGINFO_BYTES = 128;
const Code = { user: 0, tkill: -6 } as const;
const SIGALRM = 14;
const SIGCHLD = 17;
const SIGCONT = 18;
const HIGHEST_SIGNAL = 64;
const BILLION = 1_000_000_000n;
const SIGEV_NONE = 1;
const SIGEV_THREAD_ID = 4;
const TIMER_ABSTIME = 1;
const WAIT_CONTINUED = 8;
const CLD_EXITED = 1;
const CLD_KILLED = 2;
const CLD_STOPPED = 5;
const CLD_TRAPPED = 4;

export const signalCalls: ReadonlySet<number> = new Set([
  ...[Sys.kill, Sys.tkill, Sys.tgkill, Sys.rt_sigqueueinfo, Sys.rt_tgsigqueueinfo, Sys.rt_sigtimedwait],
  ...[Sys.rt_sigpending, Sys.setitimer, Sys.alarm, Sys.timer_create, Sys.timer_settime, Sys.timer_delete],
  ...[Sys.wait4, Sys.waitid, Sys.pidfd_send_signal],
]);

/** A call of `signalCalls` that succeeded. */
export function noteSignals(core: ReplayCore, call: ReturnedCall, seconds: number): void {
  const { task } = call;
  const { signals } = task.fds.files.world;
  switch (call.number) {
    case Sys.kill:
      return sendTo(core, call, call.int(0), 0, call.int(1), plainInfo(task, call.int(1), Code.user));
    case Sys.tkill:
      return sendTo(core, call, 0, call.int(0), call.int(1), plainInfo(task, call.int(1), Code.tkill));
    case Sys.tgkill:
      return sendTo(
        core,
        call,
        call.int(0),
        call.int(1),
        call.int(2),
        plainInfo(task, call.int(2), Code.tkill),
      );
    case Sys.rt_sigqueueinfo:
      return sendTo(core, call, call.int(0), 0, call.int(1), givenInfo(call, 2, call.int(1)));
    case Sys.rt_tgsigqueueinfo:
      return sendTo(core, call, call.int(0), call.int(1), call.int(2), givenInfo(call, 3, call.int(2)));
    case Sys.pidfd_send_signal: {
      const { pid = 0 } = task.fds.files.find(call.int(0))?.state ?? {};
      const info =
        call.pointer(2) > 0 ? givenInfo(call, 2, call.int(1)) : plainInfo(task, call.int(1), Code.user);
      return sendTo(core, call, pid, 0, call.int(1), info);
    }
    case Sys.rt_sigtimedwait:
      return signals.taken(task.group.tgid, task.tid, call.result);
    case Sys.rt_sigpending:
      return compare(call);
    case Sys.wait4:
      // A child that still exists was reported as stopped.
      if ((call.int(2) & WAIT_CONTINUED) === 0) stop(core, call.result);
      return;
    case Sys.waitid: {
      const info = call.peek(call.pointer(2), 24);
      const code = info?.getInt32(8, true) ?? 0;
      if (info && (code === CLD_STOPPED || code === CLD_TRAPPED)) stop(core, info.getInt32(12, true));
      return;
    }
    default:
      return noteTimer(call, seconds);
  }
}

const stop = (core: ReplayCore, tid: number): void => {
  const task = core.tasks.get(tid);
  if (task) task.stopped = true;
};

function plainInfo(task: Task, number: number, code: number): Uint8Array {
  const info = new Uint8Array(SIGINFO_BYTES);
  const view = new DataView(info.buffer);
  view.setInt32(0, number, true);
  view.setInt32(8, code, true);
  view.setInt32(16, task.group.tgid, true);
  return info;
}

function givenInfo(call: ReturnedCall, index: number, number: number): Uint8Array {
  const info = new Uint8Array(SIGINFO_BYTES);
  info.set(call.bytes(call.pointer(index), SIGINFO_BYTES));
  new DataView(info.buffer).setInt32(0, number, true);
  return info;
}

/** Only if it is blocked: else its frame follows immediately. */
function sendTo(
  core: ReplayCore,
  { task }: ReturnedCall,
  pid: number,
  tid: number,
  number: number,
  info: Uint8Array,
): void {
  if (number < 1 || number > HIGHEST_SIGNAL) return;
  const { signals } = task.fds.files.world;
  const target = tid === 0 ? null : core.tasks.get(tid);
  if (target === undefined) return;
  const groups = new Set([...core.tasks.values()].map(({ group }) => group));
  const to = target ? [target.group] : [...groups].filter(({ tgid }) => tgid === pid);
  for (const group of to) {
    if (number === SIGCONT) for (const each of group.tasks) each.stopped = false;
    if (blocks(target ? [target] : [...group.tasks], number))
      signals.sent({ pid: group.tgid, tid: target?.tid ?? 0, number, info });
  }
}

function blocks(tasks: readonly Task[], number: number): boolean {
  return tasks.every((task) => {
    adoptBufferedMask(task);
    return (task.signalMask & signalBit(number)) !== 0n;
  });
}

/** The kernel's pending set is authoritative; an unknown signal in it was sent from outside. */
function compare(call: ReturnedCall): void {
  const mask = call.peek(call.pointer(0), 8)?.getBigUint64(0, true);
  if (mask === undefined) return;
  const { task } = call;
  const { signals } = task.fds.files.world;
  const isMine = ({ pid, tid }: { pid: number; tid: number }): boolean =>
    pid === task.group.tgid && (tid === 0 || tid === task.tid);
  const has = (number: number): boolean => (mask & signalBit(number)) !== 0n;
  signals.pending = signals.pending.filter((one) => !isMine(one) || has(one.number));
  for (let number = 1; number <= HIGHEST_SIGNAL; number++) {
    if (!has(number) || signals.pending.some((one) => isMine(one) && one.number === number)) continue;
    signals.sent({ pid: task.group.tgid, tid: 0, number, info: plainInfo(task, number, Code.user) });
  }
}

/** A process has ended: its parent's SIGCHLD, where that is blocked. */
export function noteEnd(task: Task, status: number): void {
  const { world } = task.fds.files;
  const { group } = task;
  if (task.space.users <= 1) noteAllMapped(task);
  const isLast = group.tasks.size <= 1;
  world.signals.ended(task.tid, isLast ? group.tgid : 0);
  const parent: ThreadGroup | null = isLast ? group.parent : null;
  if (!parent || parent.tasks.size === 0 || !blocks([...parent.tasks], SIGCHLD)) return;
  const signal = status & 0x7f;
  const info = plainInfo(task, SIGCHLD, signal === 0 ? CLD_EXITED : CLD_KILLED);
  new DataView(info.buffer).setInt32(24, signal === 0 ? status >> 8 : signal, true);
  world.signals.sent({ pid: parent.tgid, tid: 0, number: SIGCHLD, info });
}

function noteTimer(call: ReturnedCall, seconds: number): void {
  const { signals } = call.task.fds.files.world;
  const pid = call.task.group.tgid;
  const blank = { pid, clock: 1, signal: SIGALRM, value: 0n, tid: 0, isAbsolute: false, armedAt: seconds };
  switch (call.number) {
    case Sys.alarm:
      return signals.setTimer({
        ...blank,
        id: REAL_TIMER,
        first: BigInt(call.int(0) >>> 0) * BILLION,
        interval: 0n,
      });
    case Sys.setitimer: {
      if (call.int(0) !== 0) return;
      const [interval, first] = times(call, 1, 1000n) ?? [0n, 0n];
      return signals.setTimer({ ...blank, id: REAL_TIMER, first, interval });
    }
    case Sys.timer_create: {
      const id = call.peek(call.pointer(2), 4)?.getInt32(0, true);
      if (id === undefined) return;
      return signals.setTimer({
        ...blank,
        ...eventOf(call, id),
        id,
        clock: call.int(0),
        first: 0n,
        interval: 0n,
      });
    }
    case Sys.timer_settime: {
      const timer = signals.timer(pid, call.int(0));
      const [interval, first] = times(call, 2, 1n) ?? [0n, 0n];
      const isAbsolute = (call.int(1) & TIMER_ABSTIME) !== 0;
      if (timer) signals.setTimer({ ...timer, first, interval, isAbsolute, armedAt: seconds });
      return;
    }
    case Sys.timer_delete:
      return signals.dropTimers((timer) => timer.pid === pid && timer.id === call.int(0));
  }
}

/** struct sigevent: value, signo, notify, tid. */
function eventOf(call: ReturnedCall, id: number): Pick<RecordedTimer, 'signal' | 'value' | 'tid'> {
  const event = call.peek(call.pointer(1), 20);
  if (!event) return { signal: SIGALRM, value: BigInt(id), tid: 0 };
  const notify = event.getInt32(12, true);
  return {
    signal: notify === SIGEV_NONE ? 0 : event.getInt32(8, true),
    value: event.getBigUint64(0, true),
    tid: notify === SIGEV_THREAD_ID ? event.getInt32(16, true) : 0,
  };
}

/** Interval and value in nanoseconds: each seconds and a part of `unit` nanoseconds. */
function times(call: ReturnedCall, index: number, unit: bigint): [bigint, bigint] | null {
  const spec = call.peek(call.pointer(index), 32);
  if (!spec) return null;
  const at = (place: number): bigint =>
    spec.getBigInt64(place, true) * BILLION + spec.getBigInt64(place + 8, true) * unit;
  return [at(0), at(16)];
}
