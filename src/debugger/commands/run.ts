/** gdb's `monitor` commands, for functions that gdb does not have. */
import { fromHex, OK, PacketError, textToHex } from '../packet/fields.js';
import type { Session } from '../session.js';
import { diversionCommand } from './diversion.js';
import { checkpoint, checkpoints, deleteCheckpoint, restart } from './checkpoints.js';
import { frames, goTo, moment, seekTicks } from './history.js';
import { tasks } from './tasks.js';
import { back, forward, visit } from './visited.js';
import { absoluteTime, elapsedTime, recording, when, whenEnd, whenTicks, whenTid } from './where.js';

interface Command {
  readonly name: string;
  /** As the help shows it, without the name. */
  readonly usage: string;
  readonly help: string;
  /** Returns what is printed. */
  run(session: Session, words: readonly string[]): string | Promise<string>;
}

const COMMANDS: readonly Command[] = [
  { name: 'when', usage: '', help: 'the last frame of the recording that was replayed', run: when },
  { name: 'when-end', usage: '', help: "the recording's last frame", run: whenEnd },
  { name: 'when-ticks', usage: '[TID]', help: 'ticks (retired conditional branches) so far', run: whenTicks },
  { name: 'when-tid', usage: '[TID]', help: 'the thread by its number in the recording', run: whenTid },
  { name: 'elapsed-time', usage: '', help: 'seconds since the recording began', run: elapsedTime },
  { name: 'absolute-time', usage: '', help: 'the same by CLOCK_MONOTONIC', run: absoluteTime },
  { name: 'recording', usage: '', help: "the recording's folder", run: recording },
  {
    name: 'moment',
    usage: '',
    help: 'a name of this very instruction, for goto, --goto and --at',
    run: moment,
  },
  {
    name: 'goto',
    usage: 'PLACE',
    help: 'go right after a frame, to SYMBOL:HIT, FILE:LINE:HIT, a moment, exit, end, crash',
    run: goTo,
  },
  {
    name: 'seek-ticks',
    usage: 'TICKS [TID]',
    help: 'go to the first place where the thread has so many ticks',
    run: seekTicks,
  },
  { name: 'visit', usage: '', help: 'save this place for back', run: visit },
  { name: 'back', usage: '', help: 'go to the previously visited place', run: back },
  { name: 'forward', usage: '', help: 'go to where it was when `back` went', run: forward },
  { name: 'checkpoint', usage: '[NAME]', help: 'save this place', run: checkpoint },
  { name: 'checkpoints', usage: '', help: 'list the places remembered', run: checkpoints },
  { name: 'restart', usage: '[NUMBER]', help: 'go back to a checkpoint, or to where it began', run: restart },
  { name: 'delete-checkpoint', usage: 'NUMBER', help: 'delete a saved place', run: deleteCheckpoint },
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

/** rr's names with blanks. */
const RR_NAMES: Readonly<Record<string, string>> = {
  'delete checkpoint': 'delete-checkpoint',
  'info checkpoints': 'checkpoints',
  'info recording': 'recording',
  'rr-history-push': 'visit',
};

/** Whether a command has that name, with or without blanks. */
const isRrName = (name: string): boolean =>
  Object.hasOwn(RR_NAMES, name) ||
  COMMANDS.some((command) => command.name === name) ||
  !/^(?:[0-9a-f]{2})+$/i.test(name);

/** Commands of rr's that are about a thread. */
const OF_THREAD: readonly string[] = ['when-ticks', 'when-tid'];

/**
 * `qRRCmd:NAME:TID:ARGUMENT...`, arguments and answer in hexadecimal: rr's way to send its
 * commands. Before rr 5.7 there was no TID, and the name was in hexadecimal, too: scripts for LLDB
 * and delve still send this form.
 */
export async function rrCommand(session: Session, text: string): Promise<string> {
  const [first, ...fields] = text.split(':');
  const name = isRrName(first) ? first : Buffer.from(first, 'hex').toString('utf8');
  const number = /^-?\d+$/.exec(fields[0] ?? '')?.[0];
  // After an encoded name, digits may be an encoded argument.
  const isThread = name === first || number === '-1' || session.taskOf(Number(number)) !== undefined;
  const thread = isThread ? number : undefined;
  const words = (OF_THREAD.includes(name) ? [] : fields.slice(thread === undefined ? 0 : 1)).map((field) =>
    Buffer.from(fromHex(field)).toString('utf8'),
  );
  if (OF_THREAD.includes(name) && thread !== undefined && session.taskOf(Number(thread))) words.push(thread);
  const word = RR_NAMES[name] ?? name;
  const command = COMMANDS.find((candidate) => candidate.name === word);
  try {
    const answer = command ? await command.run(session, words) : `Command '${name}' not found.`;
    return textToHex(`${answer}\n`);
  } catch (error) {
    if (!(error instanceof PacketError)) throw error;
    return textToHex(`${error.message}\n`);
  }
}

/** `qRcmd`: a command's output, or its error, is printed on gdb's console. */
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
