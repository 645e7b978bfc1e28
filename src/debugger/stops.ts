/** Stops as stop replies (gdb manual, "Stop Reply Packets"). */
import type { DebugStop, DebugTask } from '../engine/target.js';
import { PacketError, textToHex } from './packet/fields.js';
import type { Session } from './session.js';
import { SIGNAL_NAMES } from '../engine/base/linux.js';
import { GdbSignal } from './signals.js';
import { printable } from '../engine/base/names.js';

const byte = (value: number): string => (value & 0xff).toString(16).padStart(2, '0');

/** Registers that gdb reads after every stop: sending them with the stop saves a round trip. */
const EXPEDITED = ['rbp', 'rsp', 'rip'];

/**
 * `T`: signal, reason, thread, registers.
 * @param signal the client's number
 * @param reason such as `swbreak:;`
 */
export function stopReply(session: Session, signal: number, reason: string, tid: number): string {
  // After a jump in time the task may not exist; gdb needs one that does.
  const task = session.tasks().find((candidate) => candidate.tid === tid) ?? session.currentTask();
  // gdb takes the thread of a stop for the one that later requests are about, without saying so.
  session.select(task.tid);
  session.stoppedTid = task.tid;
  return `T${byte(signal)}${reason}${aboutThread(session, task)}${threadLists(session, task.pid)}`;
}

/** Its id, its name for LLDB, which reads it only here, and registers. */
function aboutThread(session: Session, { pid, tid, name }: DebugTask): string {
  const { registers, target, client } = session;
  const values = EXPEDITED.map((register) => {
    const number = registers.numberOf(register);
    return `${number.toString(16)}:${registers.readHex(target, tid, number)};`;
  });
  const named = client.isLldb && name !== '' ? `hexname:${textToHex(printable(name))};` : '';
  return `thread:${session.threadId(pid, tid)};${named}${values.join('')}`;
}

/** All threads of the process and their positions, for clients that enabled this. */
function threadLists(session: Session, pid: number): string {
  if (!session.client.listThreads) return '';
  const threads = session.tasks().filter((task) => task.pid === pid);
  const rip = session.registers.numberOf('rip');
  const pcs = threads.map(({ tid }) =>
    parseLittleEndian(session.registers.read(session.target, tid, rip)).toString(16),
  );
  const ids = threads.map(({ tid }) => session.threadId(pid, tid));
  return `threads:${ids.join(',')};thread-pcs:${pcs.join(',')};`;
}

const parseLittleEndian = (bytes: Uint8Array): bigint => Buffer.from(bytes).readBigUInt64LE();

/** The parent of a vfork runs on: its child has left the memory. */
export const vforkDoneReply = (session: Session, tid: number): string =>
  stopReply(session, GdbSignal.TRAP, `vforkdone:;${because(session, 'vforkdone')}`, tid);

type Because = 'vforkdone' | 'trace' | 'breakpoint' | 'signal' | 'exec' | 'exception';

/**
 * The textual reason for LLDB: it continues by itself from a stop without one, and none of its thread plans handles
 * `exception`.
 */
function because(session: Session, kind: Because, text = ''): string {
  if (!session.client.isLldb) return '';
  return `reason:${kind};${text === '' ? '' : `description:${textToHex(text)};`}`;
}

const EDGES = { begin: 'the recording begins here', end: 'the recording ends here' } as const;

/** The history of the attached processes ends here; reported as rr does: by a signal that was not recorded. */
export function edgeReply(session: Session, edge: 'begin' | 'end', tid: number): string {
  if (session.asRr && edge === 'end')
    return stopReply(session, GdbSignal.KILL, because(session, 'signal'), tid);
  const reason = because(session, 'exception', EDGES[edge]);
  return stopReply(session, GdbSignal.TRAP, `${reason}replaylog:${edge};`, tid);
}

/** `qThreadStopInfo`: the last stop for the thread that it was of, and for any other where that is. */
export function threadReply(session: Session, tid: number): string {
  const task = session.tasks().find((candidate) => candidate.tid === tid);
  if (!task) throw new PacketError(`there is no thread ${tid}`, 3);
  if (session.lastStop !== '' && session.stoppedTid === tid) return session.lastStop;
  return `T00${aboutThread(session, task)}`;
}

/** The exit of a process: `W` with its status or `X` with the signal that ended it; `status` as from wait(2). */
export function exitReply(session: Session, pid: number, status: number): string {
  const process = session.client.features.has('multiprocess') ? `;process:${pid.toString(16)}` : '';
  const signal = status & 0x7f;
  return signal === 0
    ? `W${byte(status >> 8)}${process}`
    : `X${byte(session.signalNumber(signal))}${process}`;
}

function breakReason(session: Session, address: number): string {
  const kind = session.breakpoints.kindAt(address);
  if (!kind) {
    session.say('[a breakpoint inside of code that rr patched: it stops after that]');
    return '';
  }
  return session.client.features.has(kind) ? `${kind}:;` : '';
}

const WATCH = { write: 'watch', read: 'rwatch', access: 'awatch' } as const;

/** The reply for a stop that is reported to gdb. `exited` and `history-end` are reported otherwise. */
export function replyOf(session: Session, stop: DebugStop): string {
  session.lastReported = stop;
  const trap = (why: Because, reason: string): string =>
    stopReply(session, GdbSignal.TRAP, because(session, why) + reason, stop.tid);
  switch (stop.kind) {
    case 'step':
      return trap('trace', '');
    case 'breakpoint':
      return trap('breakpoint', breakReason(session, stop.address));
    case 'watchpoint':
      // LLDB derives its reason from this key.
      return stopReply(
        session,
        GdbSignal.TRAP,
        `${WATCH[stop.access]}:${stop.address.toString(16)};`,
        stop.tid,
      );
    case 'signal': {
      const signal = session.signalNumber(stop.signal);
      return stopReply(session, signal, because(session, 'signal'), stop.tid);
    }
    case 'syscall': {
      const when = stop.state === 'entering' ? 'syscall_entry' : 'syscall_return';
      return trap('trace', `${when}:${stop.number.toString(16)};`);
    }
    case 'fork':
    case 'vfork': {
      const child = session.threadId(session.pidOf(stop.child), stop.child);
      return stopReply(session, GdbSignal.TRAP, `${stop.kind}:${child};`, stop.tid);
    }
    case 'exec':
      return trap('exec', `exec:${textToHex(stop.path)};`);
    case 'interrupted':
      return stopReply(
        session,
        session.asRr ? GdbSignal.none : GdbSignal.INT,
        because(session, 'signal'),
        stop.tid,
      );
    case 'clone':
    case 'exited':
    case 'history-end':
    case 'ended':
      return hereReply(session, stop.tid);
  }
}

/** The client shows the current position, whatever it had requested: after a jump in time. */
export function hereReply(session: Session, tid = session.target.currentTid): string {
  session.lastReported = null;
  const where = `${session.diversion ? 'a diversion from ' : ''}after frame ${session.replay.frameTime}`;
  const signal = session.client.isLldb ? GdbSignal.TRAP : GdbSignal.none;
  // `library`: what is loaded may be something else than at the last stop.
  const loaded = session.client.isLldb ? 'library:;' : '';
  return stopReply(session, signal, because(session, 'exception', where) + loaded, tid);
}

/** Offset of si_code in Linux's siginfo_t. */
const SIGINFO = { bytes: 128, code: 8 } as const;
const SIGTRAP = 5;
/** si_code of SIGTRAP for what a debugger stops by (sigaction(2)); SI_KERNEL for INT3, as Linux has it on x86. */
const TRAP_CODE = { breakpoint: 0x80, step: 2, watchpoint: 4 } as const;

/** The siginfo_t that a debugger's stop has on a live system: SIGTRAP's. Null for tasks and stops without one. */
export function trapInfo(stop: DebugStop | null, tid: number): Uint8Array | null {
  if (stop?.tid !== tid || !(stop.kind in TRAP_CODE)) return null;
  const bytes = new Uint8Array(SIGINFO.bytes);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, SIGTRAP, true);
  view.setInt32(SIGINFO.code, TRAP_CODE[stop.kind as keyof typeof TRAP_CODE], true);
  return bytes;
}

/** As gdb prints it: `exited with code 03`; `status` as from wait(2). */
export function endOf(status: number | null): string {
  if (status === null) return 'exited';
  const signal = status & 0x7f;
  if (signal !== 0) return `terminated with signal ${SIGNAL_NAMES[signal] ?? signal}`;
  const code = (status >> 8) & 0xff;
  return code === 0 ? 'exited normally' : `exited with code ${code.toString(8).padStart(2, '0')}`;
}
