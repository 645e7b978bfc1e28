import { EXITS } from '../../engine/base/errors.js';
import { hang } from '../table.js';

/**
 * Exit codes as `--help` ends with them.
 * @param width columns of the terminal
 * @param names those of one command, which has others as all have; null: all
 */
export function exitCodesText(width: number, names: readonly (keyof typeof EXITS)[] | null = null): string {
  const chosen = names === null ? Object.values(EXITS) : names.map((name) => EXITS[name]);
  const lines = [...chosen]
    .sort((a, b) => a.code - b.code)
    .map(({ code, meaning }) => hang(`${String(code).padStart(3)}  `, meaning.replaceAll('`', ''), width));
  if (names !== null) lines.push('others as of other commands: revenant --help');
  return `\nExit codes:\n${lines.join('\n')}\n`;
}

/** Help is read, whatever it is written to. */
export const helpWidth = (columns: number): number => (Number.isFinite(columns) ? columns : 80);
