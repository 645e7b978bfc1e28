import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../../engine/base/errors.js';
import { printable } from '../../engine/base/names.js';
import { reasonOf } from '../../engine/base/system-errors.js';

const DEEPEST = 16;

const isTrace = (names: string[]): boolean => names.includes('version') || names.includes('incomplete');

/**
 * Every trace folder below `folder` (itself included), sorted, each once. Symbolic links to folders are followed,
 * except those to a parent of the search; a trace is listed by its path without links, if it has one. Throws
 * E_TRACE_MISSING if `folder` itself cannot be read.
 * @param complain called for each folder below that cannot be read, which is skipped
 */
export function findTraces(folder: string, complain: (text: string) => void = () => {}): string[] {
  const search = new Search(complain);
  search.walk(folder, 0);
  search.followLinks();
  return search.found.sort();
}

class Search {
  readonly found: string[] = [];
  /** Folders that were searched, by device and inode. */
  private readonly seen = new Set<string>();
  /** Links to folders; they are followed after everything that is reachable without them. */
  private links: { at: string; depth: number }[] = [];

  constructor(private readonly complain: (text: string) => void) {}

  walk(at: string, depth: number): void {
    let entries: fs.Dirent[];
    try {
      if (!this.isNew(at)) return;
      entries = fs.readdirSync(at, { withFileTypes: true });
    } catch (error) {
      const text = `Cannot search ${printable(at)} for traces: ${reasonOf(error)}.`;
      if (depth === 0) throw new RevenantError('E_TRACE_MISSING', text, undefined, { cause: error });
      this.complain(`${text} It is passed over.`);
      return;
    }
    if (isTrace(entries.map((entry) => entry.name))) {
      this.found.push(at);
      return;
    }
    if (depth >= DEEPEST) return;
    for (const entry of entries) {
      const below = path.join(at, entry.name);
      if (entry.isDirectory()) this.walk(below, depth + 1);
      else if (entry.isSymbolicLink() && leadsElsewhere(below))
        this.links.push({ at: below, depth: depth + 1 });
    }
  }

  /** Also those that were found while following links. */
  followLinks(): void {
    for (let next = this.links.shift(); next !== undefined; next = this.links.shift())
      this.walk(next.at, next.depth);
  }

  private isNew(at: string): boolean {
    const { dev, ino } = fs.statSync(at);
    const key = `${dev}:${ino}`;
    if (this.seen.has(key)) return false;
    this.seen.add(key);
    return true;
  }
}

/** A link to a folder that does not contain it: not to its parents, the home or the root. */
function leadsElsewhere(link: string): boolean {
  if (!fs.statSync(link, { throwIfNoEntry: false })?.isDirectory()) return false;
  try {
    const target = fs.realpathSync(link);
    return !`${fs.realpathSync(path.dirname(link))}/`.startsWith(target === '/' ? '/' : `${target}/`);
  } catch {
    return false;
  }
}

/** Removes folders that are listed twice under different names, keeping the order. */
export function uniqueFolders(folders: readonly string[]): string[] {
  const seen = new Set<string>();
  return folders.filter((folder) => {
    const stat = fs.statSync(folder, { throwIfNoEntry: false });
    const key = stat ? `${stat.dev}:${stat.ino}` : folder;
    return !seen.has(key) && seen.add(key);
  });
}

/** A trace's path below the folder that was searched; its own name if that is the trace itself. */
export const traceName = (searched: string, trace: string): string =>
  path.relative(searched, trace) || path.basename(path.resolve(trace));

/** The expectations for a trace, from the files beside it; null if there are none. */
export interface Expectation {
  stdout: Uint8Array | null;
  /** As a shell reports it: 128 + signal for a fatal one. */
  status: number | null;
}

/** Reads `expected_stdout` and `expected_status` of a trace folder. */
export function readExpectation(trace: string): Expectation {
  const read = (name: string): Buffer | null => {
    const file = path.join(trace, name);
    try {
      return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ? fs.readFileSync(file) : null;
    } catch (error) {
      throw new RevenantError('E_TRACE_CORRUPT', `Cannot read ${printable(file)}: ${reasonOf(error)}.`);
    }
  };
  const status = read('expected_status')?.toString('latin1').trim();
  if (status !== undefined && !/^\d{1,3}$/.test(status)) {
    throw new RevenantError('E_TRACE_CORRUPT', `${trace}/expected_status is not a number from 0 to 255.`);
  }
  return { stdout: read('expected_stdout'), status: status === undefined ? null : Number(status) };
}
