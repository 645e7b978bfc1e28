import * as fs from 'node:fs';
import * as path from 'node:path';
import { RevenantError } from '../base/errors.js';
import { nameBytes, nameOf, printable } from '../base/names.js';

/** The only file of the trace layer that touches the file system. Everything is opened read-only. */

const errnoOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** The result of stat(2); `mtime` in whole seconds. */
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
   * Opens a regular file. O_NONBLOCK: opening a FIFO in place of a file must not block. Errors:
   * E_TRACE_MISSING if it cannot be opened, E_TRACE_CORRUPT if it is not a regular file.
   */
  static open(file: string): FileSource {
    let fd: number;
    try {
      fd = fs.openSync(nameBytes(file), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    } catch (error) {
      const hint =
        'A trace directory contains version, events, mmaps, tasks and data; was it copied completely?';
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

const HINT_TRACE = 'Name a trace directory as rr makes it (with the files `version` and `events`).';

/** Throws E_TRACE_MISSING unless `directory` is a directory. */
export function requireDirectory(directory: string, hint = HINT_TRACE): void {
  let found: string;
  try {
    if (fs.statSync(directory).isDirectory()) return;
    found = 'it is not a directory';
  } catch (error) {
    found = errnoOf(error);
  }
  throw new RevenantError(
    'E_TRACE_MISSING',
    `No ${hint === HINT_TRACE ? 'trace' : 'folder'} at ${directory}: ${found}.`,
    hint,
  );
}

/** A file of any type exists. */
export function fileExists(file: string): boolean {
  return fs.existsSync(nameBytes(file));
}

/** Names of the regular files in the directory, with their sizes in bytes, sorted. Errors: E_TRACE_MISSING. */
export function listFiles(directory: string): { name: string; size: number }[] {
  try {
    return fs
      .readdirSync(directory, 'buffer')
      .map(nameOf)
      .map((name) => ({ name, stat: fs.lstatSync(nameBytes(path.join(directory, name))) }))
      .filter(({ stat }) => stat.isFile())
      .map(({ name, stat }) => ({ name, size: stat.size }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const text = `Cannot list ${directory}: ${errnoOf(error)}.`;
    throw new RevenantError('E_TRACE_MISSING', text, undefined, { cause: error });
  }
}

/** Files outside a trace directory that its names may refer to. By default only those of `rr pack --pack-dir`. */
export interface Elsewhere {
  /** All of this machine: absolute names, and links to anywhere. */
  readonly anywhere: boolean;
  /** Files below these folders, whose paths have no symbolic links. */
  readonly folders: readonly string[];
}

const HINT_RECORDER =
  'Traces that name files of the recording machine are made self-contained there with `rr pack`. ' +
  'On that very machine, `--unpacked` uses its files; `--files FOLDER` uses those below a folder.';
const HINT_LINK =
  'If you trust the trace: `--files FOLDER` allows links to files below a folder, `--unpacked` to every file of ' +
  'this machine. `rr pack` without --symlink and --pack-dir makes traces without links.';

function leaves(name: string, why: string, hint = HINT_RECORDER): never {
  throw new RevenantError('E_TRACE_PATH', `The trace names the backing file ${quoted(name)}, ${why}.`, hint);
}

/** Resolves symbolic links. Throws errors of the file system. Not Node's function, which decodes names as UTF-8. */
const realName = (name: string): string => nameOf(fs.realpathSync.native(nameBytes(name), 'buffer'));

const quoted = (name: string): string => `"${printable(name)}"`;

const isBelow = (folder: string, real: string): boolean =>
  real.startsWith(folder.endsWith('/') ? folder : `${folder}/`);

/** A folder that a user named, without symbolic links. Errors: E_TRACE_MISSING. */
export function realFolder(folder: string): string {
  requireDirectory(folder, 'Name an existing folder.');
  return realName(path.resolve(folder));
}

/** What `rr pack --pack-dir` calls files in the folder that traces share. */
const SHARED_FILE = /^mmap_pack_\d+_/;

/**
 * `rr pack --pack-dir` puts files into a folder that several traces share, and links to them: one beside the trace
 * is followed. A hostile trace gets no other file by that: the name where the links end has to be one that rr makes.
 */
function isShared(root: string, real: string): boolean {
  return path.dirname(path.dirname(real)) === path.dirname(root) && SHARED_FILE.test(path.basename(real));
}

export interface BackingPlace {
  /** After symbolic links. */
  readonly path: string;
  /** It is not a file of the trace. */
  readonly outside: boolean;
}

/**
 * The path of a file that the trace refers to, after resolving links. Errors: E_TRACE_PATH if the
 * name has a `..` component, or is absolute or a symbolic link out of the directory and `elsewhere`
 * does not allow it; E_TRACE_MISSING if there is no such file.
 */
export function resolveBacking(directory: string, name: string, elsewhere: Elsewhere): BackingPlace {
  if (name === '' || name.includes('\0')) leaves(name, 'which is not a file name');
  const absolute = path.isAbsolute(name);
  if (absolute && !elsewhere.anywhere && elsewhere.folders.length === 0) leaves(name, 'an absolute path');
  if (!absolute && name.split('/').includes('..')) leaves(name, 'which is outside of the trace directory');
  let real: string;
  let root: string;
  try {
    root = realName(directory);
    real = realName(absolute ? name : path.join(directory, name));
  } catch (error) {
    const text = `The backing file ${quoted(name)} of trace ${directory} cannot be opened: ${errnoOf(error)}.`;
    throw new RevenantError('E_TRACE_MISSING', text, 'Was the trace copied completely?', { cause: error });
  }
  if (!absolute && (isBelow(root, real) || isShared(root, real))) return { path: real, outside: false };
  if (elsewhere.anywhere || elsewhere.folders.some((folder) => isBelow(folder, real)))
    return { path: real, outside: true };
  if (absolute) leaves(name, 'an absolute path');
  return leaves(name, `a symbolic link to ${quoted(real)}, outside the trace directory`, HINT_LINK);
}
