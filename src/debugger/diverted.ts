/** Stops and output of diversions. */
import { Prot } from '../engine/mm/vma.js';
import type { DebugStop } from '../engine/target.js';
import { isInCall, type Diversion } from './calls.js';
import type { Session } from './session.js';
import { endOf, exitReply, hereReply, replyOf } from './stops.js';

const SIGKILL = 9;

/** The diverted program's output goes to the debugger's console. */
export function takeOutput(session: Session): void {
  if (!session.diversion || session.diversion.lent) return;
  for (const { bytes } of session.diversion.target.takeOutput()) session.console(bytes);
}

/** Stops at which the task can be inspected. */
const STANDS: ReadonlySet<DebugStop['kind']> = new Set([
  'signal',
  'interrupted',
  'step',
  'breakpoint',
  'watchpoint',
  'syscall',
]);

/** The reply to a stop of a diversion, or null where it runs on. */
export function noteDivertedStop(session: Session, stop: DebugStop): string | null {
  const { diversion } = session;
  if (!diversion) return hereReply(session);
  const { lent } = diversion;
  lent?.note(stop);
  const say = (text: string): void => (lent ? undefined : session.say(`[diversion: ${text}]`));
  // gdb leaves its call unfinished and keeps the registers whose restoration would end the diversion.
  const tellWayBack = (tid: number): void => {
    if (!lent && isInCall(diversion)) diversion.buffers?.left(tid);
    // LLDB usually unwinds the call itself, and reports it, and so does gdb with rr's settings.
    if (!diversion.explicit && !session.client.isLldb && !session.asRr)
      say('this is inside of a call; back to the replay with: monitor diversion end');
  };
  if (STANDS.has(stop.kind)) noteMapped(session, stop.tid);
  switch (stop.kind) {
    case 'ended':
      diversion.over = stop.reason;
      if (!lent && isInCall(diversion)) diversion.buffers?.left(stop.tid);
      say(stop.reason);
      return hereReply(session);
    case 'exited':
      // A process that the diversion itself made.
      if (!session.attached.has(stop.pid) || session.tasks().some(({ pid }) => pid !== stop.pid)) return null;
      if (!diversion.explicit) return callEnded(session, diversion, stop);
      diversion.over = `process ${stop.pid} ${endOf(stop.status)}.`;
      say(`process ${stop.pid} ${endOf(stop.status)}`);
      return hereReply(session);
    case 'history-end':
      return hereReply(session);
    case 'exec':
    case 'fork':
    case 'vfork':
    case 'clone':
      return null;
    case 'signal':
      if (session.client.passSignals.has(stop.signal)) return null;
      if (lent && (!isHeld(session, stop.tid) || diversion.target.handles(stop.tid, stop.signal)))
        return null;
      tellWayBack(stop.tid);
      return replyOf(session, stop);
    case 'interrupted':
      tellWayBack(stop.tid);
      return replyOf(session, stop);
    case 'step':
    case 'breakpoint':
    case 'watchpoint':
    case 'syscall':
      return replyOf(session, stop);
  }
}

/** Reports mapped code, including libraries that a call has loaded. */
function noteMapped({ options, target }: Session, tid: number): void {
  if (!options.mapped) return;
  for (const { prot, file } of target.mappings(tid))
    if ((prot & Prot.exec) !== 0 && file) options.mapped(file.path);
}

/**
 * A call has ended its process, so nothing is left to inspect. gdb abandons the call when the
 * thread is reported as stopped elsewhere: at the position of the replay.
 */
function callEnded(session: Session, { written }: Diversion, stop: DebugStop & { kind: 'exited' }): string {
  session.say(`[diversion: process ${stop.pid} ${endOf(stop.status)}; back in the replay, as it was]`);
  session.endDiversion();
  if (session.asRr) {
    session.reborn = true;
    return exitReply(session, stop.pid, SIGKILL);
  }
  const caller = [...written.keys()].find((tid) => session.taskOf(tid));
  return hereReply(session, caller);
}

function isHeld(session: Session, tid: number): boolean {
  const task = session.taskOf(tid);
  return task !== undefined && session.attached.has(task.pid);
}
