/** gdb's `monitor` commands: what gdb itself has no word for. */
import { OK, PacketError } from '../packet/fields.js';
import type { Session } from '../session.js';
import { diversionCommand } from './diversion.js';
import {
  checkpoint,
  checkpoints,
  deleteCheckpoint,
  frames,
  goTo,
  restart,
  when,
  whenTicks,
} from './history.js';
import { tasks } from './tasks.js';

interface Command {
  readonly name: string;
  /** As the help shows it, without the name. */
  readonly usage: string;
  readonly help: string;
  /** Returns what is printed. */
  run(session: Session, words: readonly string[]): string | Promise<string>;
}

const COMMANDS: readonly Command[] = [
  { name: 'when', usage: '', help: 'the frame of the recording that the program stands behind', run: when },
  {
    name: 'when-ticks',
    usage: '',
    help: 'ticks (retired conditional branches) of the thread',
    run: whenTicks,
  },
  { name: 'goto', usage: 'FRAME', help: 'go right behind a frame, forwards or backwards', run: goTo },
  { name: 'checkpoint', usage: '[NAME]', help: 'remember this place', run: checkpoint },
  { name: 'checkpoints', usage: '', help: 'list the places remembered', run: checkpoints },
  { name: 'restart', usage: '[NUMBER]', help: 'go back to a checkpoint, or to where it began', run: restart },
  { name: 'delete-checkpoint', usage: 'NUMBER', help: 'forget a place', run: deleteCheckpoint },
  { name: 'frames', usage: '[FROM[-TO]]', help: 'what was recorded, around here or from FROM', run: frames },
  { name: 'tasks', usage: '', help: 'every task of the recording that exists here', run: tasks },
  {
    name: 'diversion',
    usage: 'start|end|status',
    help: 'try what would happen: change registers and memory, run; the end undoes all of it',
    run: diversionCommand,
  },
  { name: 'help', usage: '', help: 'this list', run: help },
];

function help(): string {
  const heads = COMMANDS.map(({ name, usage }) => `${name} ${usage}`.trim());
  const width = Math.max(...heads.map((head) => head.length));
  return COMMANDS.map((command, index) => `${heads[index].padEnd(width)}  ${command.help}`).join('\n');
}

/** The commands that begin with what was typed; an exact name wins. */
function find(word: string): Command {
  const exact = COMMANDS.find(({ name }) => name === word);
  if (exact) return exact;
  const fitting = COMMANDS.filter(({ name }) => word !== '' && name.startsWith(word));
  if (fitting.length === 1) return fitting[0];
  const names = (fitting.length > 0 ? fitting : COMMANDS).map(({ name }) => name).join(', ');
  throw new PacketError(
    `${JSON.stringify(word)} is ${fitting.length > 0 ? 'ambiguous' : 'not a monitor command'}: ${names}.`,
  );
}

/** `qRcmd`: what a command prints, or what is wrong with it, comes out on gdb's console. */
export async function runCommand(session: Session, line: string): Promise<string> {
  const [word = '', ...words] = line.trim().split(/\s+/);
  try {
    session.say(await find(word).run(session, words));
  } catch (error) {
    if (!(error instanceof PacketError)) throw error;
    session.say(error.message);
  }
  return OK;
}
