/** Text in aligned columns. */

/** Minimum width of a wrapped cell; with less room it is printed below, indented. */
const LEAST = 24;
const BELOW = 4;

/**
 * A text in lines of at most `width` characters, broken at spaces; a word that is longer stays whole, so that paths and
 * commands can be copied.
 */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  const [whole, ...more] = text.split('\n');
  if (more.length > 0) return [whole, ...more].flatMap((each) => wrapText(each, width));
  let line = '';
  for (const word of whole.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** The same after a prefix; further lines are indented as far. */
export function hang(before: string, text: string, width = Infinity): string {
  const indent = ' '.repeat(before.length);
  return wrapText(text, width - before.length)
    .map((line, at) => `${at === 0 ? before : indent}${line}`.trimEnd())
    .join('\n');
}

export interface TableOptions {
  /** Indices of the columns that hold numbers. */
  readonly right?: readonly number[];
  /** Most characters of a line. The last column wraps; those before it must fit. */
  readonly width?: number;
}

/** Rows as text in aligned columns, two spaces apart. */
export function formatTable(rows: string[][], { right = [], width }: TableOptions = {}): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)));
  const columns = widths.map((most, at) => ({ width: most, right: right.includes(at) }));
  return rows.map((row) => formatRow(row, columns, width)).join('');
}

export interface Column {
  readonly width: number;
  /** Numbers are right-aligned. */
  readonly right: boolean;
}

/** One line, or more where the last cell has to wrap, each with its end. */
export function formatRow(row: readonly string[], columns: readonly Column[], width = Infinity): string {
  const last = row.length - 1;
  const cells = row.map((cell, at) => {
    const column = columns[at];
    return column.right ? cell.padStart(column.width) : cell.padEnd(column.width);
  });
  const whole = cells.join('  ').trimEnd();
  if (whole.length <= width || last === 0) return `${whole}\n`;
  const before = cells
    .slice(0, last)
    .map((cell) => `${cell}  `)
    .join('');
  if (width - before.length >= LEAST) return `${hang(before, row[last], width)}\n`;
  return `${before.trimEnd()}\n${hang(' '.repeat(BELOW), row[last], width)}\n`;
}
