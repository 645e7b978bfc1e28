/** The position in the recording: rr's commands with rr's text, which its users' scripts parse. */
import { hex } from '../../engine/base/address.js';
import { printable } from '../../engine/base/names.js';
import { getRegister, Reg } from '../../engine/base/registers.js';
import { PacketError } from '../packet/fields.js';
import { poll } from '../resume.js';
import type { Session } from '../session.js';

/** Where the thread of the last stop is, for lists. */
export function whereText(session: Session): string {
  const { tid, name } = session.currentTask();
  return `task ${tid} (${printable(name)}) at ${hex(getRegister(session.target.registers(tid), Reg.rip))}`;
}

/** After a jump. */
export const whereNow = (session: Session): string =>
  `After frame ${session.replay.frameTime}: ${whereText(session)}`;

/** The last event that was replayed completely. */
export const when = (session: Session): string => `Completed event: ${session.replay.frameTime}`;

export const whenEnd = (session: Session): string =>
  `Event at end of recording: ${session.facts.frameWithin(Number.MAX_SAFE_INTEGER)}`;

/** The task that a command names, as gdb does for the thread that its user has selected; else the current one. */
export function taskOf(session: Session, words: readonly string[]): number {
  if (words.length === 0) return session.currentTask().tid;
  const task = session.taskOf(/^\d{1,10}$/.test(words[0]) ? Number(words[0]) : 0);
  if (!task) throw new PacketError(`There is no task ${words[0]} now.`);
  return task.tid;
}

export async function whenTicks(session: Session, words: readonly string[]): Promise<string> {
  const { replay } = session;
  const tid = taskOf(session, words);
  if (!replay.tasks().some((task) => task.tid === tid)) {
    throw new PacketError(`Task ${tid} is the diversion's own: it has no ticks.`);
  }
  if (replay.ticks(tid) === null) {
    if (session.diversion)
      throw new PacketError('Ticks cannot be counted while a diversion is open: end it first.');
    session.interruptRequested = false;
    replay.beginCountTicks();
    await poll(session, replay);
  }
  const ticks = replay.ticks(tid);
  if (ticks === null) throw new PacketError('Interrupted while the ticks were being counted.');
  return `Current tick: ${ticks}`;
}

export const whenTid = (session: Session, words: readonly string[]): string =>
  `Current tid: ${taskOf(session, words)}`;

/** The next event, as rr counts. */
const secondsNow = (session: Session): { begin: number; at: number } =>
  session.facts.seconds(session.replay.frameTime + 1);

export function elapsedTime(session: Session): string {
  const { begin, at } = secondsNow(session);
  return `Elapsed Time (s): ${(at - begin).toFixed(6)}`;
}

export const absoluteTime = (session: Session): string =>
  `Absolute Time (s): ${secondsNow(session).at.toFixed(6)}`;

export const recording = (session: Session): string => `Path of recording: ${JSON.stringify(session.folder)}`;
