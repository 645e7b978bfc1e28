/** Source lines of recorded files, decoded by binutils' readelf. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { RevenantError } from '../engine/base/errors.js';
import { LineTable } from '../engine/symbols/line-table.js';

const run = promisify(execFile);

/** Limit of readelf's output; a large program's has some hundred bytes per source line. */
const MAX_OUTPUT_BYTES = 512 << 20;
const TIME_LIMIT_MILLIS = 120_000;
/** Without the user's environment: no debuginfod, which contacts other machines, and no translated headings. */
const ENVIRONMENT = { LC_ALL: 'C' };

/** Line tables of the files of one trace, each decoded on first use. */
export class Lines {
  private readonly tables = new Map<string, Promise<LineTable>>();

  /** @param directory the trace's, to which names of its files are relative */
  constructor(private readonly directory: string) {}

  /** @param name as a ByteSource of the trace has it. Throws E_UNSUPPORTED where there is no readelf or it fails. */
  of(name: string): Promise<LineTable> {
    let table = this.tables.get(name);
    if (!table) {
      table = decode(path.resolve(this.directory, name));
      this.tables.set(name, table);
    }
    return table;
  }
}

async function decode(file: string): Promise<LineTable> {
  try {
    const { stdout } = await run('readelf', ['--debug-dump=decodedline', '--wide', file], {
      env: ENVIRONMENT,
      maxBuffer: MAX_OUTPUT_BYTES,
      timeout: TIME_LIMIT_MILLIS,
    });
    return LineTable.parse(stdout);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new RevenantError(
        'E_UNSUPPORTED',
        'Source lines are decoded by readelf, which is not installed.',
        'Install it (Debian: apt install binutils), or use symbols and addresses instead.',
        { cause },
      );
    }
    throw new RevenantError(
      'E_UNSUPPORTED',
      `readelf cannot decode the lines of ${file}: ${message.split('\n')[0]}.`,
      'Use symbols and addresses instead.',
      { cause },
    );
  }
}
