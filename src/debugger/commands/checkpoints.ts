/** Checkpoints of the recording, with rr's text, which its users' scripts parse. */
import { PacketError } from '../packet/fields.js';
import { jump } from '../resume.js';
import type { NamedMark, Session } from '../session.js';
import { whereNow, whereText } from './where.js';

export function checkpoint(session: Session, words: readonly string[]): string {
  if (session.diversion) throw new PacketError('A diversion is open; only the replay has checkpoints.');
  if (session.gone) throw new PacketError('The program is not being run.');
  const where = words.length > 0 ? words.join(' ') : whereText(session);
  const mark = session.replay.mark();
  const id = session.nextMark++;
  session.marks.set(id, { mark, frameTime: session.replay.frameTime, where });
  return `Checkpoint ${id} at ${where}`;
}

export function checkpoints(session: Session): string {
  if (session.marks.size === 0) return 'No checkpoints.';
  const lines = [...session.marks].map(([id, { frameTime, where }]) => `${id}\t${frameTime}\t${where}`);
  return ['ID\tWhen\tWhere', ...lines].join('\n');
}

function markOf(session: Session, word: string): NamedMark {
  const mark = /^\d{1,15}$/.test(word) ? session.marks.get(Number(word)) : undefined;
  if (mark) return mark;
  const valid = [...session.marks.keys()].map((id) => ` ${id}`).join('');
  // Where rr is asked, gdb tells that its attempt to run the program failed.
  const failed = session.asRr ? '\nThe restart failed.' : '';
  throw new PacketError(`Checkpoint ${word} not found.\nValid checkpoints:${valid}${failed}`);
}

/** Goes back to checkpoint N, and so does `run` afterwards; without a number to where debugging began. */
export async function restart(session: Session, words: readonly string[]): Promise<string> {
  if (words.length === 0) return goBack(session, session.startMark);
  const { mark } = markOf(session, words[0]);
  const where = await goBack(session, mark);
  session.runMark = mark;
  return where;
}

/** Goes to a mark. Throws PacketError if there is none. */
export async function goBack(session: Session, mark: number | null): Promise<string> {
  if (mark === null) throw new PacketError('There is no place to go back to.');
  await jump(session, () => session.replay.beginGotoMark(mark));
  return whereNow(session);
}

export function deleteCheckpoint(session: Session, words: readonly string[]): string {
  if (words.length === 0) throw new PacketError("'delete checkpoint' requires an argument");
  if (!/^-?\d+$/.test(words[0])) throw new PacketError(`Invalid checkpoint number ${words[0]}.`);
  const id = Number(words[0]);
  const found = session.marks.get(id);
  if (!found) throw new PacketError(`No checkpoint number ${words[0]}.`);
  if (session.runMark === found.mark) session.runMark = session.startMark;
  session.replay.forget(found.mark);
  session.marks.delete(id);
  return `Deleted checkpoint ${id}.`;
}
