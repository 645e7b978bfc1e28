import { EXITS } from '../../engine/base/errors.js';
import { hang } from '../table.js';

/**
 * Exit codes for the end of `--help`.
 * @param width columns of the terminal
 * @param names those specific to one command; null: all
 */
export function exitCodesText(width: number, names: readonly (keyof typeof EXITS)[] | null = null): string {
  const chosen = names === null ? Object.values(EXITS) : names.map((name) => EXITS[name]);
  const lines = [...chosen]
    .sort((a, b) => a.code - b.code)
    .map(({ code, meaning }) => hang(`${String(code).padStart(3)}  `, meaning.replaceAll('`', ''), width));
  if (names !== null) lines.push('for the common exit codes see revenant --help');
  return `\nExit codes:\n${lines.join('\n')}\n`;
}

/** Also if help is not written to a terminal. */
export const helpWidth = (columns: number): number => (Number.isFinite(columns) ? columns : 80);
