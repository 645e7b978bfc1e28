import { PacketError } from '../packet/fields.js';
import { announce } from '../resume.js';
import type { Session } from '../session.js';

/** `start`: what is changed from here on stays until `end`. */
export function diversionCommand(session: Session, [word]: readonly string[]): string {
  const { frameTime } = session.replay;
  switch (word) {
    case 'start':
      if (session.diversion?.explicit) throw new PacketError('A diversion is open already.');
      session.startDiversion(true);
      return `Diversion from frame ${frameTime}. It does not affect the replay; end it with: monitor diversion end`;
    case 'end':
      if (!session.diversion) throw new PacketError('There is no diversion to end.');
      session.endDiversion();
      announce(session);
      return `Back in the replay, after frame ${frameTime}.`;
    case 'status':
    case undefined:
      if (!session.diversion) return 'In the replay.';
      return session.diversion.explicit
        ? `In a diversion from frame ${frameTime}, until: monitor diversion end`
        : `In a diversion from frame ${frameTime} that a call or a change began; it ends when the program next runs with the replay's registers.`;
    default:
      throw new PacketError('monitor diversion start, end or status');
  }
}
