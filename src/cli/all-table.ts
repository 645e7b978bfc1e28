/** The table of `replay --all`, printed row by row as traces finish; the columns are fixed before the first row. */
import path from 'node:path';
import { hex } from '../engine/base/address.js';
import { durationText } from '../engine/base/quantities.js';
import { printable } from './printable.js';
import { shortProcessorName } from '../recording/processor.js';
import type { RunResult } from '../recording/run.js';
import { type Column, formatRow, hang } from './table.js';

/** One row. `problem` is null if all is as recorded and as expected. */
export interface Outcome {
  trace: string;
  recordedOn: string;
  recordedXcr0: bigint | null;
  result: RunResult | null;
  problem: string | null;
  code: string | null;
}

const GOOD = 'as recorded';
/** Characters of a processor's name: on a terminal, and where lines may have any length. */
const SHORT = 12;
const LONG = 30;
const INDENT = '    ';

interface Cell extends Column {
  readonly head: string;
  text(outcome: Outcome): string;
}

const paceOf = ({ result }: Outcome): string => {
  const frames = result ? result.frameTime - result.startFrame : 0;
  return result && frames > 0 ? durationText(result.seconds / frames) : '-';
};

/** The columns between the name and the result, those that may be left out last. */
const CELLS: readonly Cell[] = [
  { head: 'frames', width: 6, right: true, text: ({ result }) => String(result?.frameTime ?? 0) },
  { head: 'time', width: 7, right: true, text: ({ result }) => durationText(result?.seconds ?? 0) },
  {
    head: 'recorded on',
    width: SHORT,
    right: false,
    text: ({ recordedOn }) => printable(shortProcessorName(recordedOn)).slice(0, SHORT),
  },
  {
    head: 'XCR0',
    width: 6,
    right: false,
    text: ({ recordedXcr0 }) => (recordedXcr0 === null ? '?' : hex(recordedXcr0)),
  },
  {
    head: 'here',
    width: 6,
    right: false,
    text: ({ result }) => (result?.machine ? hex(result.machine.xcr0) : '-'),
  },
  { head: 'a frame', width: 7, right: true, text: paceOf },
];
/** From left to right. */
const ORDER = ['recorded on', 'XCR0', 'here', 'frames', 'time', 'a frame'];

export class AllTable {
  private readonly cells: readonly Cell[];
  private readonly columns: readonly Column[];

  /** @param width characters of a line; columns that do not fit are left out, the least important first */
  constructor(
    traces: readonly string[],
    private readonly width: number,
  ) {
    const names = Math.max('trace'.length, ...traces.map((trace) => nameOf(trace).length));
    const widths = CELLS.map((cell) => Math.max(cell.width, cell.head.length) + 2);
    let fits = 0;
    for (let used = names + 2 + GOOD.length; fits < CELLS.length; fits++) {
      used += widths[fits];
      if (used > width) break;
    }
    const known = width === Infinity ? CELLS.map(unshortened) : CELLS;
    this.cells = known.slice(0, fits).sort((a, b) => ORDER.indexOf(a.head) - ORDER.indexOf(b.head));
    this.columns = [
      { width: names, right: false },
      ...this.cells.map((cell) => ({ ...cell, width: Math.max(cell.width, cell.head.length) })),
      { width: 0, right: false },
    ];
  }

  head(): string {
    return formatRow(['trace', ...this.cells.map(({ head }) => head), 'result'], this.columns);
  }

  /** A problem is printed below its row, indented. */
  row(outcome: Outcome): string {
    const { trace, problem } = outcome;
    const result = problem === null ? GOOD : 'NOT';
    const row = formatRow(
      [nameOf(trace), ...this.cells.map((cell) => cell.text(outcome)), result],
      this.columns,
    );
    if (problem === null) return row;
    return `${row}${hang(INDENT, printable(problem.split('\n', 1)[0]), this.width)}\n`;
  }
}

const unshortened = (cell: Cell): Cell =>
  cell.head === 'recorded on'
    ? { ...cell, width: LONG, text: ({ recordedOn }) => printable(recordedOn) }
    : cell;

const nameOf = (trace: string): string => printable(path.relative('', trace) || '.');
