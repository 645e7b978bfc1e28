/** Frames of the recording, and going to one. */
import { PacketError } from '../packet/fields.js';
import { momentText } from '../../recording/place.js';
import { jump, jumpTo, poll } from '../resume.js';
import type { Session } from '../session.js';
import { taskOf, whereNow } from './where.js';

const FRAME = /^\d{1,15}$/;
const FRAMES_AROUND = 5;
const MOST_FRAMES = 1000;

export async function goTo(session: Session, words: readonly string[]): Promise<string> {
  const place = words.join(' ');
  if (place === '') throw new PacketError('Missing place: a frame, a symbol or another place.');
  if (FRAME.test(place)) {
    session.requireFrame(Number(place));
    await jump(session, () => session.replay.beginGoto(Number(place)));
  } else await jumpTo(session, place);
  return whereNow(session);
}

/** The name of the current instruction in any replay of the recording, as an argument of `goto`. */
export async function moment(session: Session): Promise<string> {
  const { replay } = session;
  if (session.diversion) throw new PacketError('A diversion is not part of the recording: end it first.');
  session.interruptRequested = false;
  replay.beginMoment();
  await poll(session, replay);
  const found = replay.moment;
  if (!found) throw new PacketError('Interrupted.');
  return momentText(found);
}

/** rr's `seek-ticks`: to the first place where the task has so many ticks. */
export async function seekTicks(session: Session, words: readonly string[]): Promise<string> {
  const [count = '', thread] = words;
  if (!/^\d{1,15}$/.test(count)) throw new PacketError('Missing number of ticks.');
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
  if (words.length > 0 && !range) throw new PacketError('Missing range of frames: FROM or FROM-TO.');
  const from = range ? Number(range[1]) : Math.max(1, now - FRAMES_AROUND);
  const to = range ? Number(range[2] ?? from + 2 * FRAMES_AROUND) : now + FRAMES_AROUND;
  return session.facts.frameLines(from, Math.min(to, from + MOST_FRAMES - 1)).join('\n');
}
