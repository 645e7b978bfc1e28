import type { Session } from '../session.js';
import { printable } from '../../engine/base/names.js';

/** Every task that exists, also of processes that gdb is not attached to. */
export function tasks(session: Session): string {
  const { currentTid } = session.target;
  return session.target
    .tasks()
    .map(({ tid, pid, name }) => {
      const held = session.attached.has(pid) ? '' : `  (not attached: attach ${pid})`;
      return `${tid === currentTid ? '*' : ' '} ${tid}  process ${pid}  ${printable(name)}${held}`;
    })
    .join('\n');
}
