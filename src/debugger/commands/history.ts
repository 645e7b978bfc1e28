/** Where in the recording the program stands, and going elsewhere in it. */
import { hex } from '../../engine/base/address.js';
import { getRegister, Reg } from '../../engine/base/registers.js';
import { PacketError } from '../packet/fields.js';
import { jump } from '../resume.js';
import type { NamedMark, Session } from '../session.js';
import { printable } from '../../engine/base/names.js';

const FRAMES_AROUND = 5;
const MOST_FRAMES = 1000;

const number = (word: string | undefined, what: string): number => {
  if (word === undefined || !/^\d{1,15}$/.test(word))
    throw new PacketError(`Which ${what}? Give its number.`);
  return Number(word);
};

export function when(session: Session): string {
  const { frameTime, lastFrame } = session.replay;
  const diverted = session.diversion ? ', in a diversion' : '';
  return `Completed frame: ${frameTime}${lastFrame === null ? '' : ` of ${lastFrame}`}${diverted}`;
}

export function whenTicks(session: Session): string {
  const { tid } = session.currentTask();
  if (!session.replay.tasks().some((task) => task.tid === tid)) {
    throw new PacketError(`Task ${tid} is the diversion's own: it has no ticks.`);
  }
  return `Task ${tid}: ${session.replay.ticks(tid)} ticks`;
}

/** Where the thread of the last stop is, for lists. */
function whereText(session: Session): string {
  const { tid, name } = session.currentTask();
  return `task ${tid} (${printable(name)}) at ${hex(getRegister(session.target.registers(tid), Reg.rip))}`;
}

export async function goTo(session: Session, words: readonly string[]): Promise<string> {
  const frame = number(words[0], 'frame');
  session.requireFrame(frame);
  await jump(session, () => session.replay.beginGoto(frame));
  return `Behind frame ${session.replay.frameTime}: ${whereText(session)}`;
}

export function checkpoint(session: Session, words: readonly string[]): string {
  if (session.diversion) throw new PacketError('A diversion is open; only the replay has checkpoints.');
  const id = session.nextMark++;
  const where = words.length > 0 ? words.join(' ') : whereText(session);
  session.marks.set(id, { mark: session.replay.mark(), frameTime: session.replay.frameTime, where });
  return `Checkpoint ${id}: frame ${session.replay.frameTime}, ${where}`;
}

export function checkpoints(session: Session): string {
  const lines = [...session.marks].map(([id, { frameTime, where }]) => `${id}  frame ${frameTime}, ${where}`);
  return lines.length === 0 ? 'No checkpoints.' : lines.join('\n');
}

function markOf(session: Session, word: string | undefined): [number, NamedMark] {
  const id = number(word, 'checkpoint');
  const mark = session.marks.get(id);
  if (!mark) throw new PacketError(`There is no checkpoint ${id}.`);
  return [id, mark];
}

export async function restart(session: Session, words: readonly string[]): Promise<string> {
  const mark = words.length === 0 ? session.startMark : markOf(session, words[0])[1].mark;
  if (mark === null) throw new PacketError('There is no place to go back to.');
  await jump(session, () => session.replay.beginGotoMark(mark));
  return `Behind frame ${session.replay.frameTime}: ${whereText(session)}`;
}

export function deleteCheckpoint(session: Session, words: readonly string[]): string {
  const [id, { mark }] = markOf(session, words[0]);
  session.replay.forget(mark);
  session.marks.delete(id);
  return `Checkpoint ${id} is forgotten.`;
}

export function frames(session: Session, words: readonly string[]): string {
  const now = session.replay.frameTime;
  const range = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(words[0] ?? '');
  if (words.length > 0 && !range) throw new PacketError('Give a range of frames as FROM or FROM-TO.');
  const from = range ? Number(range[1]) : Math.max(1, now - FRAMES_AROUND);
  const to = range ? Number(range[2] ?? from + 2 * FRAMES_AROUND) : now + FRAMES_AROUND;
  return session.frameLines(from, Math.min(to, from + MOST_FRAMES - 1)).join('\n');
}
