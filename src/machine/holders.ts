/** Descriptions of the users of machines. */
import fs from 'node:fs';
import path from 'node:path';
import { nameOf, printable } from '../engine/base/names.js';
import type { MachineStatus } from './keeper-client.js';

const MOST_TEXT = 60;

/** ``pid 41 (`revenant gdb bash`)``; `pid 41` if its command is unknown. */
export function processText(pid: number): string {
  let words: string[];
  try {
    words = nameOf(fs.readFileSync(`/proc/${pid}/cmdline`))
      .split('\0')
      .filter((word) => word !== '');
  } catch {
    return `pid ${pid}`;
  }
  // Our processes are run by node, with its options before the script.
  const script = words.findIndex((word) => path.basename(word) === 'revenant');
  const shown = script < 0 ? words : ['revenant', ...words.slice(script + 1)];
  const text = printable(shown.join(' '));
  if (text === '') return `pid ${pid}`;
  return `pid ${pid} (\`${text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT - 1)}…` : text}\`)`;
}

/** ``2 in use by pid 41 (`revenant gdb bash`) and pid 57, 1 is being started``; '' for none. */
export function usersText(machines: readonly MachineStatus[]): string {
  const leased = machines.filter(({ state }) => state === 'leased').map(({ client }) => processText(client));
  const starting = machines.filter(({ state }) => state === 'starting' || state === 'queued').length;
  return [
    ...(leased.length > 0 ? [`${leased.length} in use by ${leased.join(', ')}`] : []),
    ...(starting > 0 ? [`${starting} being started`] : []),
  ].join(', ');
}
