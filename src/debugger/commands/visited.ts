/** Places where the debugger's user has stopped, to go back to and forward again: rr's `back` and `forward`. */
import { PacketError } from '../packet/fields.js';
import { jump, leaveCall } from '../resume.js';
import type { Session } from '../session.js';
import { whereNow } from './where.js';

/** Saves this place, except in diversions and where no task exists. Prints nothing. */
export function visit(session: Session): string {
  if (!session.diversion && session.tasks().length > 0) session.visited.visit(session.replay.mark());
  return '';
}

async function goTo(session: Session, way: 'back' | 'forward'): Promise<string> {
  leaveCall(session);
  const mark = session.visited[way]();
  if (mark === null) throw new PacketError(`Can't go ${way}. No more history entries.`);
  await jump(session, () => session.replay.beginGotoMark(mark));
  return whereNow(session);
}

export const back = (session: Session): Promise<string> => goTo(session, 'back');
export const forward = (session: Session): Promise<string> => goTo(session, 'forward');
