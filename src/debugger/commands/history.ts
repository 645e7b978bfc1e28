/** Frames of the recording, and going to one. */
import { PacketError } from '../packet/fields.js';
import { jump } from '../resume.js';
import type { Session } from '../session.js';
import { taskOf, whereNow } from './where.js';

const FRAMES_AROUND = 5;
const MOST_FRAMES = 1000;

export async function goTo(session: Session, words: readonly string[]): Promise<string> {
  if (!/^\d{1,15}$/.test(words[0] ?? '')) throw new PacketError('Which frame? Give its number.');
  const frame = Number(words[0]);
  session.requireFrame(frame);
  await jump(session, () => session.replay.beginGoto(frame));
  return whereNow(session);
}

/** rr's `seek-ticks`: to the first place where the task has so many ticks. */
export async function seekTicks(session: Session, words: readonly string[]): Promise<string> {
  const [count = '', thread] = words;
  if (!/^\d{1,15}$/.test(count)) throw new PacketError('How many ticks? Give their number.');
  const { replay, facts } = session;
  const ticks = Number(count);
  const tid = taskOf(session, thread === undefined ? [] : [thread]);
  const frame = facts.frameOfTicks(tid, replay.frameTime, ticks);
  if (frame === null) throw new PacketError('No event found matching specified ticks target.');
  await jump(session, () => replay.beginSeekTicks(frame, ticks));
  return whereNow(session);
}

export function frames(session: Session, words: readonly string[]): string {
  const now = session.replay.frameTime;
  const range = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(words[0] ?? '');
  if (words.length > 0 && !range) throw new PacketError('Give a range of frames as FROM or FROM-TO.');
  const from = range ? Number(range[1]) : Math.max(1, now - FRAMES_AROUND);
  const to = range ? Number(range[2] ?? from + 2 * FRAMES_AROUND) : now + FRAMES_AROUND;
  return session.facts.frameLines(from, Math.min(to, from + MOST_FRAMES - 1)).join('\n');
}
