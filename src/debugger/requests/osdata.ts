/** The data of gdb's `info os`: what the recording contains of the recorded system, nothing of this machine. */
import { PacketError } from '../packet/fields.js';
import { programOf } from '../program.js';
import type { Session } from '../session.js';
import { xmlText } from '../../engine/base/names.js';

/** Cells by the names of their columns. */
type Row = Readonly<Record<string, string | number>>;

interface Table {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  rows(session: Session): Row[];
}

/** Thread groups that exist, each with a task of it. */
function processes({ target }: Session): { pid: number; tid: number; name: string }[] {
  const first = new Map<number, { pid: number; tid: number; name: string }>();
  for (const task of target.tasks()) if (!first.has(task.pid)) first.set(task.pid, task);
  return [...first.values()].sort((one, other) => one.pid - other.pid);
}

const TABLES: readonly Table[] = [
  {
    name: 'processes',
    title: 'Processes',
    description: 'Listing of all processes of the recording that exist here',
    rows: (session) =>
      processes(session).map(({ pid }) => {
        const { arguments: words, directory } = session.target.executable(pid);
        return {
          pid,
          attached: session.attached.has(pid) ? 'yes' : 'no',
          program: programOf(session.target, pid),
          'working directory': directory ?? '',
          command: words.join(' '),
        };
      }),
  },
  {
    name: 'threads',
    title: 'Threads',
    description: 'Listing of all threads of the recording that exist here',
    rows: ({ target }) =>
      target.tasks().map(({ pid, tid, name }) => ({
        pid,
        tid,
        current: tid === target.currentTid ? 'yes' : 'no',
        command: name,
      })),
  },
  {
    name: 'files',
    title: 'File descriptors',
    description: 'Listing of all file descriptors that are known from the recording at this point',
    rows: (session) =>
      processes(session).flatMap(({ pid, name: command }) =>
        session.target
          .descriptors(pid)
          .map(({ fd, name }) => ({ pid, command, 'file descriptor': fd, name })),
      ),
  },
];

const LIST: Table = {
  name: 'types',
  title: 'OS data types',
  description: 'What there is',
  rows: () =>
    TABLES.map(({ name, title, description }) => ({ Type: name, Description: description, Title: title })),
};

/**
 * The document for `qXfer:osdata:read:ANNEX` (gdb manual, "Operating System Information"); without
 * a name the list of names. Throws PacketError for an unknown name.
 */
export function osDocument(session: Session, annex: string): string {
  const table = annex === '' ? LIST : TABLES.find(({ name }) => name === annex);
  if (!table) {
    const names = TABLES.map(({ name }) => name).join(', ');
    throw new PacketError(`the recording has no data about ${annex}; available are ${names}`);
  }
  const items = table.rows(session).map((row) => {
    const columns = Object.entries(row).map(
      ([name, value]) => `<column name="${name}">${xmlText(String(value))}</column>`,
    );
    return `<item>${columns.join('')}</item>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?><osdata type="${table.name}">${items.join('')}</osdata>`;
}
