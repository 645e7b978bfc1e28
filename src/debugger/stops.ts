/** Stops as stop replies (gdb manual, "Stop Reply Packets"). */
import type { DebugStop } from '../engine/debug/target.js';
import { formatThreadId, textToHex } from './packet/fields.js';
import type { Session } from './session.js';
import { SIGNAL_NAMES } from '../engine/base/linux.js';
import { GdbSignal, gdbSignal } from './signals.js';

const byte = (value: number): string => (value & 0xff).toString(16).padStart(2, '0');

/** Registers that gdb looks at after every stop: sent along, they save a round trip. */
const EXPEDITED = ['rbp', 'rsp', 'rip'];

/**
 * `T`: signal, reason, thread, registers.
 * @param signal gdb's number
 * @param reason such as `swbreak:;`
 */
export function stopReply(session: Session, signal: number, reason: string, tid: number): string {
  const { target, registers } = session;
  // After a jump in time the task may be gone; gdb must be told of one that there is.
  const task = session.tasks().find((candidate) => candidate.tid === tid) ?? session.currentTask();
  // gdb takes the thread of a stop for the one that later requests are about, without saying so.
  session.select(task.tid);
  const values = EXPEDITED.map((name) => {
    const number = registers.numberOf(name);
    return `${number.toString(16)}:${registers.readHex(target, task.tid, number)};`;
  });
  return `T${byte(signal)}${reason}thread:${formatThreadId(task.pid, task.tid)};${values.join('')}`;
}

/** The history of what gdb holds ends here. */
export const edgeReply = (session: Session, edge: 'begin' | 'end', tid: number): string =>
  stopReply(session, GdbSignal.TRAP, `replaylog:${edge};`, tid);

/** A process is gone: `W` with its status or `X` with the signal that ended it; `status` as from wait(2). */
export function exitReply(session: Session, pid: number, status: number): string {
  const process = session.wishes.features.has('multiprocess') ? `;process:${pid.toString(16)}` : '';
  const signal = status & 0x7f;
  return signal === 0 ? `W${byte(status >> 8)}${process}` : `X${byte(gdbSignal(signal))}${process}`;
}

function breakReason(session: Session, address: number): string {
  const kind = session.breakpoints.kindAt(address);
  if (!kind) {
    session.say('[a breakpoint inside of code that the recorder replaced: it stops behind that]');
    return '';
  }
  return session.wishes.features.has(kind) ? `${kind}:;` : '';
}

const WATCH = { write: 'watch', read: 'rwatch', access: 'awatch' } as const;

/** The reply to a stop that gdb is to see. `exited` and `history-end` are told in other ways. */
export function replyOf(session: Session, stop: DebugStop): string {
  const trap = (reason: string): string => stopReply(session, GdbSignal.TRAP, reason, stop.tid);
  switch (stop.kind) {
    case 'step':
      return trap('');
    case 'breakpoint':
      return trap(breakReason(session, stop.address));
    case 'watchpoint':
      return trap(`${WATCH[stop.access]}:${stop.address.toString(16)};`);
    case 'signal':
      return stopReply(session, gdbSignal(stop.signal), '', stop.tid);
    case 'syscall': {
      const when = stop.state === 'entering' ? 'syscall_entry' : 'syscall_return';
      return trap(`${when}:${stop.number.toString(16)};`);
    }
    case 'fork':
    case 'vfork':
      return trap(`${stop.kind}:${formatThreadId(session.pidOf(stop.child), stop.child)};`);
    case 'exec':
      return trap(`exec:${textToHex(stop.path)};`);
    case 'interrupted':
      return stopReply(session, GdbSignal.INT, '', stop.tid);
    case 'clone':
    case 'exited':
    case 'history-end':
    case 'ended':
      return stopReply(session, GdbSignal.none, '', stop.tid);
  }
}

/** gdb shows where the program stands now, whatever it had asked for: after a jump in time. */
export const hereReply = (session: Session, tid = session.target.currentTid): string =>
  stopReply(session, GdbSignal.none, '', tid);

/** In gdb's words: `exited with code 03`; `status` as from wait(2). */
export function endOf(status: number | null): string {
  if (status === null) return 'exited';
  const signal = status & 0x7f;
  if (signal !== 0) return `terminated with signal ${SIGNAL_NAMES[signal] ?? signal}`;
  const code = (status >> 8) & 0xff;
  return code === 0 ? 'exited normally' : `exited with code ${code.toString(8).padStart(2, '0')}`;
}
