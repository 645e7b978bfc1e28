/** Requests that make the program run, forwards and backwards, and those that end it. */
import { gva, USER_END } from '../../engine/base/address.js';
import type { RunRequest } from '../../engine/target.js';
import {
  errorReply,
  OK,
  PacketError,
  parseCount,
  parseThreadId,
  split,
  UNSUPPORTED,
} from '../packet/fields.js';
import { preparedTask } from '../calls.js';
import { goBack, restart } from '../commands/checkpoints.js';
import { arrivalReply, jump, resume } from '../resume.js';
import type { Session } from '../session.js';
import { hereReply } from '../stops.js';

type Mode = RunRequest['mode'];

const CONTINUE: Mode = { kind: 'continue' };
const STEP: Mode = { kind: 'step' };

interface Action {
  readonly mode: Mode;
  readonly signal: number;
  /** The task that it names; null: all that no other action names. */
  readonly tid: number | null;
}

/** One of vCont's actions: `s:p1.2`, `C0b`, `r400000,400010:p1.2`, `c:p1.-1`. */
function parseAction(session: Session, text: string): Action {
  const [what, thread] = split(text, ':');
  const id = thread === '' ? null : parseThreadId(thread);
  const tid = id && typeof id.tid === 'number' ? id.tid : null;
  const letter = what[0];
  const signal = letter === 'C' || letter === 'S' ? session.linuxNumber(parseCount(what.slice(1))) : 0;
  return { mode: modeOf(letter, what.slice(1)), signal, tid };
}

function modeOf(letter: string, rest: string): Mode {
  switch (letter) {
    case 'c':
    case 'C':
      return CONTINUE;
    case 's':
    case 'S':
      return STEP;
    case 'r': {
      const [start, end] = rest.split(',').map(parseCount);
      if (!(start < end && end <= USER_END)) throw new PacketError('not a range of addresses');
      return { kind: 'range', start: gva(start), end: gva(end) };
    }
    default:
      throw new PacketError(`vCont action ${JSON.stringify(letter)} is not supported`);
  }
}

/**
 * `vCont;ACTION...`. The schedule is recorded: of all the actions, a step decides when to stop; gdb cannot choose which
 * other threads run.
 */
export function vCont(session: Session, text: string): Promise<string> {
  const actions = text.split(';').map((part) => parseAction(session, part));
  const action =
    actions.find(({ mode }) => mode.kind !== 'continue') ??
    actions.find(({ signal }) => signal !== 0) ??
    actions.find(({ tid }) => tid !== null) ??
    actions[0];
  // A step that names no thread is the current one's; a thread that a jump in time has undone does not matter.
  const prepared = session.diversion && preparedTask(session.diversion);
  const tid = action.tid ?? prepared ?? session.currentTask().tid;
  return resume(session, { direction: 'forward', tid, mode: action.mode, signal: action.signal });
}

/** `c`, `s`, `C SIGNAL`, `S SIGNAL`: of clients that do not use vCont. */
export function plainRun(session: Session, text: string): Promise<string> {
  const mode = modeOf(text[0], '');
  const signal =
    text[0] === 'C' || text[0] === 'S' ? session.linuxNumber(parseCount(split(text.slice(1), ';')[0])) : 0;
  return resume(session, { direction: 'forward', tid: session.currentTask().tid, mode, signal });
}

/** `bc` and `bs` */
export function reverse(session: Session, text: string): Promise<string> | string {
  if (text !== 'bc' && text !== 'bs') return UNSUPPORTED;
  const { tid } = session.currentTask();
  const mode = text === 'bs' ? STEP : CONTINUE;
  return resume(session, { direction: 'backward', tid, mode, stopAtSignals: session.asRr });
}

/**
 * `vRun`: the recorded program again, from where the session began or the checkpoint last gone back
 * to; with a number, from after that frame; with cN from checkpoint N. gdb then continues by itself
 * and gets a stop there, as from rr.
 */
export async function run(session: Session, text: string): Promise<string> {
  const [, argument = ''] = text.split(';').map((part) => Buffer.from(part, 'hex').toString('utf8'));
  session.endDiversion();
  session.pending.length = 0;
  session.gone = false;
  const { replay } = session;
  const place = /^c?\d{1,15}$/.test(argument) ? argument : '';
  try {
    if (place.startsWith('c')) await restart(session, [place.slice(1)]);
    else if (place !== '') await toFrame(session, Number(place));
    else await goBack(session, session.runMark);
  } catch (error) {
    if (!(error instanceof PacketError)) throw error;
    // gdb has already discarded the process: it gets it back at the current position.
    session.say(error.message);
  }
  // A frame may be another process's: what was debugged before stays.
  const task = session.tasks().length > 0 ? session.currentTask() : session.taskOf(replay.currentTid);
  if (!task) return errorReply(3);
  session.attached.clear();
  session.attach(task.pid);
  session.select(task.tid);
  session.pending.length = 0;
  session.pending.push(() => arrivalReply(session, task.tid));
  session.lastStop = hereReply(session, task.tid);
  return session.lastStop;
}

/** After a frame; a number past the end means the end, as in rr. */
async function toFrame(session: Session, frame: number): Promise<void> {
  const within = session.facts.frameWithin(frame);
  if (within < frame) session.say(`[the recording ends with frame ${within}]`);
  await jump(session, () => session.replay.beginGoto(within));
}

/** `vKill;PID`: gdb discards the process. The recording remains, so that `run` can start it again. */
export function kill(session: Session): string {
  session.endDiversion();
  session.breakpoints.clear();
  session.pending.length = 0;
  return OK;
}

/** `D` or `D;PID` */
export function detach(session: Session, text: string): string {
  if (text === '') {
    session.endDiversion();
    session.attached.clear();
    session.breakpoints.clear();
    return OK;
  }
  const pid = parseCount(text.slice(1));
  session.attached.delete(pid);
  session.breakpoints.removeProcess(pid);
  return OK;
}

/** `vAttach;PID`: another process of the recording that exists now. */
export function attach(session: Session, text: string): string {
  const pid = parseCount(text);
  const task = session.target.tasks().find((candidate) => candidate.pid === pid);
  if (!task) throw new PacketError(`there is no process ${pid} now`, 3);
  session.attach(pid);
  session.select(task.tid);
  return hereReply(session);
}
