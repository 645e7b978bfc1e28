/** Source lines of a file's code, from what `readelf --debug-dump=decodedline --wide` prints. Pure. */

/** A place in the code that a line of source begins at. Addresses are as linked. */
export interface LineRow {
  /** As passed to the compiler if readelf shows it, else the file's name alone. */
  readonly file: string;
  readonly line: number;
  readonly address: number;
}

export interface SourceLine {
  readonly file: string;
  readonly line: number;
}

/** `end`: no code at this address belongs to the row before it. */
type Row =
  | (LineRow & { readonly end: false; readonly isStatement: boolean })
  | { readonly address: number; readonly end: true };

/** File's name, line or -, address, view, is_stmt. */
const ROW = /^(.*\S)\s+(\d+|-)\s+(0x[0-9a-f]+|0)\s*(?:\d+\s*)?(x?)\s*(?:END)?$/;
/** `CU: path:`, `path:` or `path:[++]`: where the files of the next rows are. */
const HEADING = /^(?:CU: )?(\S.*?):(?:\[\+\+\])?$/;

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Whether a file of the table matches a name or the end of a path. */
function isMeant(file: string, wanted: string): boolean {
  return file === wanted || file.endsWith(`/${wanted}`) || (!file.includes('/') && baseName(wanted) === file);
}

export class LineTable {
  private constructor(private readonly rows: readonly Row[]) {}

  static parse(text: string): LineTable {
    const rows: Row[] = [];
    let path = '';
    for (const line of text.split('\n')) {
      const match = ROW.exec(line);
      if (!match) {
        path = HEADING.exec(line)?.[1] ?? path;
        continue;
      }
      const [, name, number, at, statement] = match;
      const address = Number(at);
      if (number === '-') rows.push({ address, end: true });
      else {
        const file = baseName(path) === name ? path : name;
        rows.push({ file, line: Number(number), address, end: false, isStatement: statement === 'x' });
      }
    }
    // Sequences come in any order; within one, rows of the same address keep their order. An end comes first.
    const order = rows.map((row, index) => ({ row, index }));
    order.sort(
      (a, b) => a.row.address - b.row.address || Number(b.row.end) - Number(a.row.end) || a.index - b.index,
    );
    return new LineTable(order.map(({ row }) => row));
  }

  get isEmpty(): boolean {
    return this.rows.length === 0;
  }

  /** The line that the instruction at an address is of, or null. */
  lineAt(address: number): SourceLine | null {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.rows[middle].address > address) high = middle;
      else low = middle + 1;
    }
    const row = this.rows[low - 1];
    return !row || row.end ? null : { file: row.file, line: row.line };
  }

  /**
   * Where statements of a line begin, or, if it has no code, of the next line that has, in order of addresses.
   * @param wanted the file's name or the end of its path
   */
  find(wanted: string, line: number): LineRow[] {
    let nearest = Infinity;
    for (const row of this.rows) {
      if (row.end || !row.isStatement || row.line < line || row.line >= nearest) continue;
      if (isMeant(row.file, wanted)) nearest = row.line;
    }
    const found: LineRow[] = [];
    for (const row of this.rows) {
      if (row.end || !row.isStatement || row.line !== nearest || !isMeant(row.file, wanted)) continue;
      if (found[found.length - 1]?.address === row.address) continue;
      found.push({ file: row.file, line: row.line, address: row.address });
    }
    return found;
  }
}
