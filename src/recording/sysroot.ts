/**
 * The files of a recording under their recorded names, as a folder of symbolic links to the trace's
 * copies: gdb's sysroot. From there gdb reads symbols directly, without transfers through the
 * protocol, and auto-loads scripts as for a program on this machine (gdb manual, "Auto-loading").
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { makeFolder } from '../engine/base/folders.js';
import { nameBytes } from '../engine/base/names.js';

/** A file of the recording and the copy of it on this machine; names as base/names.ts has them. */
export interface RecordedFile {
  /** Absolute, as recorded. */
  readonly recorded: string;
  readonly copy: string;
}

export interface Sysroot {
  readonly folder: string;
  /** Every file by its last component, with and without the version of a library: gdb's solib-search-path. */
  readonly names: string;
  /**
   * Where a debugger finds a recorded file: at its recorded path, if this machine has the same file
   * there, else in the folder. Null: there is no copy of it.
   */
  placeOf(recorded: string): string | null;
  /** Adds a file of this machine that a diversion's call has mapped by loading a library. */
  add(file: string): void;
  remove(): void;
}

const PREFIX = 'revenant-gdb.';
const NAMES = '.names';
/** Limit of names: more are not plausible, and a trace may be hostile. */
const MAX_FILES = 20_000;
/** Links that systems with a merged /usr have (Debian's usrmerge); recorded names are their targets. */
const MERGED = ['bin', 'sbin', 'lib', 'lib32', 'lib64'];

/**
 * Makes the folder below the system's folder for temporary files. `remove` deletes it, or, if this
 * process is killed, the creation of the next one. Null if no folder can be made.
 */
export function makeSysroot(files: Iterable<RecordedFile>, below = os.tmpdir()): Sysroot | null {
  removeAbandoned(below);
  let folder: string;
  try {
    folder = fs.mkdtempSync(path.join(below, `${PREFIX}${process.pid}.`));
  } catch {
    return null;
  }
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true });
  try {
    const names = path.join(folder, NAMES);
    fs.mkdirSync(names);
    let count = 0;
    for (const file of files) if (++count <= MAX_FILES) addFile(folder, names, file);
    for (const name of MERGED) link(path.join('usr', name), path.join(folder, name));
    // Scripts of libraries look for their modules relative to the library: usr/share beside usr/lib.
    link('/usr/share', path.join(folder, 'usr/share'));
    const places = new Map<string, string | null>();
    const placeOf = (recorded: string): string | null => {
      let place = places.get(recorded);
      if (place === undefined) places.set(recorded, (place = findPlace(folder, recorded)));
      return place;
    };
    const added = new Set<string>();
    const add = (file: string): void => {
      if (added.has(file) || count >= MAX_FILES) return;
      added.add(file);
      count++;
      if (isRegular(file)) addFile(folder, names, { recorded: file, copy: file });
    };
    return { folder, names, placeOf, add, remove };
  } catch {
    remove();
    return null;
  }
}

function findPlace(folder: string, recorded: string): string | null {
  const inside = path.normalize(path.join('/', recorded));
  const place = path.join(folder, inside);
  if (!fs.existsSync(nameBytes(place))) return null;
  return isSameFile(nameBytes(place), nameBytes(inside)) ? inside : place;
}

const isRegular = (file: string): boolean => {
  try {
    return path.isAbsolute(file) && fs.statSync(nameBytes(file)).isFile();
  } catch {
    return false; // a file of the diversion only
  }
};

const CHUNK = 1 << 20;

/** Whether two files have the same bytes. */
function isSameFile(one: Uint8Array, other: Uint8Array): boolean {
  const open: number[] = [];
  try {
    for (const name of [one, other]) open.push(fs.openSync(Buffer.from(name), 'r'));
    const [size, otherSize] = open.map((file) => fs.fstatSync(file).size);
    if (size !== otherSize) return false;
    const [a, b] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
    for (let at = 0; at < size; at += CHUNK) {
      const length = Math.min(CHUNK, size - at);
      for (const [file, into] of [
        [open[0], a],
        [open[1], b],
      ] as const)
        if (fs.readSync(file, into, 0, length, at) < length) return false;
      if (a.compare(b, 0, length, 0, length) !== 0) return false;
    }
    return true;
  } catch {
    return false; // absent, or not readable
  } finally {
    for (const file of open) fs.closeSync(file);
  }
}

function addFile(folder: string, names: string, { recorded, copy }: RecordedFile): void {
  // As a normalized absolute path it has no `..` that could lead out of the folder.
  const inside = path.normalize(path.join('/', recorded));
  const place = path.join(folder, inside);
  if (inside === '/' || inside.startsWith(`/${NAMES}`)) return;
  try {
    makeFolder(nameBytes(path.dirname(place)));
  } catch {
    return; // a name that is too long, or a file and a folder of the same name
  }
  if (!link(copy, place)) return;
  for (const name of namesOf(path.basename(inside))) {
    link(path.join('..', inside), path.join(names, name));
    link(path.basename(inside), path.join(path.dirname(place), name));
  }
}

/** A library's own name and the shorter ones that programs use: libz.so.1.2.13, libz.so.1.2, libz.so.1, libz.so. */
function namesOf(base: string): string[] {
  const [, stem, versions] = /^(.+\.so)((?:\.\d+)*)$/.exec(base) ?? [];
  if (stem === undefined) return [base];
  const parts = versions.split('.').slice(1);
  return [...parts.keys(), parts.length]
    .reverse()
    .map((length) => [stem, ...parts.slice(0, length)].join('.'));
}

/** Whether the link exists now; an existing file is kept. */
function link(target: string, place: string): boolean {
  try {
    fs.symlinkSync(nameBytes(target), nameBytes(place));
    return true;
  } catch {
    return false;
  }
}

/** Removes folders whose process is gone. */
function removeAbandoned(below: string): void {
  let entries: string[];
  try {
    entries = fs.readdirSync(below).filter((name) => name.startsWith(PREFIX));
  } catch {
    return;
  }
  for (const name of entries) {
    const pid = Number(/^revenant-gdb\.(\d+)\.\w{6}$/.exec(name)?.[1]);
    if (!pid || isAlive(pid)) continue;
    try {
      fs.rmSync(path.join(below, name), { recursive: true, force: true });
    } catch {
      // another user's
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
