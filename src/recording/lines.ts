/** Lines of source in recorded files, decoded by binutils' readelf. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { RevenantError } from '../engine/base/errors.js';
import { LineTable } from '../engine/symbols/line-table.js';

const run = promisify(execFile);

/** Of readelf's output; a large program's has some hundred bytes a line of source. */
const MAX_OUTPUT_BYTES = 512 << 20;
const TIME_LIMIT_MILLIS = 120_000;
/** Nothing of the user's environment: no debuginfod, which asks other machines, and no translated headings. */
const ENVIRONMENT = { LC_ALL: 'C' };

/** Line tables of the files of one trace, each decoded when it is first asked for. */
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
        'Lines of source are decoded by readelf, which is not installed.',
        'Install it (Debian: apt install binutils), or name symbols and addresses instead.',
        { cause },
      );
    }
    throw new RevenantError(
      'E_UNSUPPORTED',
      `readelf cannot decode the lines of ${file}: ${message.split('\n')[0]}.`,
      'Name symbols and addresses instead.',
      { cause },
    );
  }
}
