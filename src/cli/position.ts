import { hex } from '../engine/base/address.js';
import type { Position } from '../engine/replay/state/position.js';
import { printable } from './printable.js';

const COLUMNS = 3;

/** The current position as text. */
export function formatPosition(position: Position): string {
  const registers = Object.entries(position.registers).map(
    ([name, value]) => `${name.padEnd(8)} ${value.toString(16).padStart(16, '0')}`,
  );
  const lines: string[] = [];
  for (let at = 0; at < registers.length; at += COLUMNS) {
    lines.push(`  ${registers.slice(at, at + COLUMNS).join('   ')}`);
  }
  return [
    `after frame ${position.frameTime}: task ${position.tid} (${printable(position.taskName)})`,
    `  rip ${hex(position.rip)}  ${printable(position.symbol ?? 'no symbol')}`,
    `  in  ${printable(position.mapping ?? 'no mapping')}`,
    ...lines,
    '',
  ].join('\n');
}
