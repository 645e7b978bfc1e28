import * as fs from 'node:fs';
import * as path from 'node:path';
import { RevenantError } from '../base/errors.js';

/** The only file of the trace layer that touches the file system. Everything is opened read-only. */

const errnoOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** What stat(2) says of a file; `mtime` in whole seconds. */
export interface FileFacts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
}

/** A regular file opened for reading at any position; `facts` are of when it was opened. */
export class FileSource {
  #fd: number;

  private constructor(
    /** For messages. */
    readonly path: string,
    fd: number,
    readonly facts: FileFacts,
  ) {
    this.#fd = fd;
  }

  /** Bytes, when it was opened. */
  get size(): number {
    return this.facts.size;
  }

  /**
   * Opens a regular file. O_NONBLOCK: opening a FIFO that somebody put in place of a file must not
   * hang. Errors: E_TRACE_MISSING when it cannot be opened, E_TRACE_CORRUPT when it is no regular file.
   */
  static open(file: string): FileSource {
    let fd: number;
    try {
      fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    } catch (error) {
      const hint =
        'A trace directory holds version, events, mmaps, tasks and data; was it copied completely?';
      throw new RevenantError('E_TRACE_MISSING', `Cannot open ${file}: ${errnoOf(error)}.`, hint, {
        cause: error,
      });
    }
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) {
      fs.closeSync(fd);
      throw new RevenantError('E_TRACE_CORRUPT', `${file} is not a regular file.`);
    }
    const { mode, uid, gid, size, mtimeMs } = stat;
    return new FileSource(file, fd, { mode, uid, gid, size, mtime: Math.floor(mtimeMs / 1000) });
  }

  /** Reads up to `length` bytes at `position` to `into[0..]`; returns how many there were. */
  read(position: number, into: Uint8Array, length: number): number {
    let done = 0;
    try {
      while (done < length) {
        const count = fs.readSync(this.#fd, into, done, length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw new RevenantError('E_TRACE_CORRUPT', `Cannot read ${this.path}: ${errnoOf(error)}.`, undefined, {
        cause: error,
      });
    }
    return done;
  }

  close(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Throws E_TRACE_MISSING unless `directory` is a directory. */
export function requireDirectory(directory: string): void {
  let found: string;
  try {
    if (fs.statSync(directory).isDirectory()) return;
    found = 'it is not a directory';
  } catch (error) {
    found = errnoOf(error);
  }
  const hint = 'Name a trace directory as rr makes it (it holds a file `version` and a file `events`).';
  throw new RevenantError('E_TRACE_MISSING', `No trace at ${directory}: ${found}.`, hint);
}

/** There is something of that name, whatever it is. */
export function fileExists(file: string): boolean {
  return fs.existsSync(file);
}

/** Names of the regular files in the directory, with their sizes in bytes, sorted. Errors: E_TRACE_MISSING. */
export function listFiles(directory: string): { name: string; size: number }[] {
  try {
    return fs
      .readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => ({ name: entry.name, size: fs.statSync(path.join(directory, entry.name)).size }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const text = `Cannot list ${directory}: ${errnoOf(error)}.`;
    throw new RevenantError('E_TRACE_MISSING', text, undefined, { cause: error });
  }
}

function leaves(name: string, why: string): never {
  const hint =
    'Traces that name files of the recording machine are made self-contained there with `rr pack`. ' +
    'On that very machine, `replay --unpacked` uses its files.';
  throw new RevenantError(
    'E_TRACE_PATH',
    `The trace names the backing file ${JSON.stringify(name)}, ${why}.`,
    hint,
  );
}

/**
 * Path of a file that the trace names, after symbolic links. Errors: E_TRACE_PATH if the name is
 * absolute, has a `..` component or a symbolic link that leads out of the directory;
 * E_TRACE_MISSING if there is no such file.
 */
export function resolveInside(directory: string, name: string): string {
  if (name === '' || name.includes('\0')) leaves(name, 'which is not a file name');
  if (path.isAbsolute(name)) leaves(name, 'an absolute path');
  if (name.split('/').includes('..')) leaves(name, 'which leads out of the trace directory');
  let real: string;
  let root: string;
  try {
    root = fs.realpathSync(directory);
    real = fs.realpathSync(path.join(directory, name));
  } catch (error) {
    const text = `The backing file ${JSON.stringify(name)} of trace ${directory} cannot be opened: ${errnoOf(error)}.`;
    throw new RevenantError('E_TRACE_MISSING', text, 'Was the trace copied completely?', { cause: error });
  }
  if (!real.startsWith(root === '/' ? '/' : root + '/'))
    leaves(name, `a symbolic link to ${real}, outside the trace directory`);
  return real;
}
