import * as path from 'node:path';
import { invariant } from '../base/errors.js';
import { foreignDifferences } from './foreign.js';
import type { MMapRecord } from './records.js';
import { FileSource, fileExists, resolveBacking, type Elsewhere } from './source.js';

/** A file that mappings are filled from: a copy of what was mapped, stored in the trace directory. */
export interface BackingFile {
  readonly name: string;
  /** Where it is on this machine. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Reads up to `into.length` bytes at `offset`; returns how many there were, 0 past the end. */
  read(offset: number, into: Uint8Array): number;
}

/** Descriptors that are kept open; a trace may have thousands of files. */
const MAX_OPEN = 128;

class StoredFile implements BackingFile {
  source: FileSource | null;

  constructor(
    readonly name: string,
    readonly path: string,
    readonly size: number,
    source: FileSource,
    readonly touch: (file: StoredFile) => void,
  ) {
    this.source = source;
  }

  read(offset: number, into: Uint8Array): number {
    invariant(Number.isSafeInteger(offset) && offset >= 0, `read of ${this.name} at ${offset}`);
    const length = Math.min(into.length, this.size - offset);
    if (length <= 0) return 0;
    this.touch(this);
    this.source ??= FileSource.open(this.path);
    return this.source.read(offset, into, length);
  }
}

/** The backing files of one trace directory, each opened once. */
export class BackingFiles {
  readonly #files = new Map<string, StoredFile>();
  /** In order of use, the last one last. */
  readonly #open = new Set<StoredFile>();

  /** @param onForeign called with how a file of this machine differs from the recorded one */
  constructor(
    readonly directory: string,
    readonly elsewhere: Elsewhere = { anywhere: false, folders: [] },
    readonly onForeign: ((text: string) => void) | null = null,
  ) {}

  /** The file behind a mapping record. Errors as `open`. */
  openFor(name: string, record: MMapRecord): BackingFile {
    const known = this.#files.get(name);
    if (known) return known;
    const place = resolveBacking(this.directory, name, this.elsewhere);
    const file = this.#add(name, place.path);
    const facts = file.source?.facts;
    const differences = place.outside && facts ? foreignDifferences(record, facts) : [];
    if (differences.length > 0) {
      const what = differences.join(', ');
      this.onForeign?.(
        `${JSON.stringify(name)} is not the file that was recorded: ${what}. The replay may diverge.`,
      );
    }
    return file;
  }

  /**
   * Errors: E_TRACE_PATH if the name refers to a file that may not be opened, E_TRACE_MISSING if there is no such file.
   */
  open(name: string): BackingFile {
    return (
      this.#files.get(name) ?? this.#add(name, resolveBacking(this.directory, name, this.elsewhere).path)
    );
  }

  #add(name: string, real: string): StoredFile {
    const source = FileSource.open(real);
    const file = new StoredFile(name, real, source.size, source, (used) => this.#touch(used));
    this.#files.set(name, file);
    this.#touch(file);
    return file;
  }

  openIfPresent(name: string): BackingFile | null {
    return fileExists(path.join(this.directory, name)) ? this.open(name) : null;
  }

  close(): void {
    for (const file of this.#open) file.source?.close();
    this.#open.clear();
    this.#files.clear();
  }

  #touch(file: StoredFile): void {
    this.#open.delete(file);
    this.#open.add(file);
    if (this.#open.size <= MAX_OPEN) return;
    const [oldest] = this.#open;
    oldest.source?.close();
    oldest.source = null;
    this.#open.delete(oldest);
  }
}
