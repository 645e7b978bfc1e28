/** What a recording tells of an open file description. */
export interface RecordedFile {
  /** Descriptors with the same one share offset and flags. */
  readonly id: number;
  readonly kind: 'file' | 'pipe' | 'socket' | 'other';
  /** As the program named it, absolute where it could be made so; for other kinds what it is. */
  readonly path: string;
  /** O_* of open(2). */
  readonly flags: number;
  /** Bytes; exact as long as its reads and writes have frames. */
  readonly offset: number;
}

/** Never used twice, so that tables which come from one another agree. */
let nextId = 1;

/**
 * The open files of a descriptor table, as far as frames tell. Replay has no use for them; a diversion opens the
 * files again.
 */
export class RecordedFiles {
  private readonly files: Map<number, RecordedFile>;

  constructor(files?: Iterable<readonly [number, RecordedFile]>) {
    this.files = new Map(files);
  }

  /** From another process: files that are opened from now on get other ids. */
  static restored(files: readonly (readonly [number, RecordedFile])[]): RecordedFiles {
    for (const [, { id }] of files) nextId = Math.max(nextId, id + 1);
    return new RecordedFiles(files);
  }

  [Symbol.iterator](): IterableIterator<[number, RecordedFile]> {
    return this.files[Symbol.iterator]();
  }

  opened(fd: number, kind: RecordedFile['kind'], path: string, flags: number): void {
    this.files.set(fd, { id: nextId++, kind, path, flags, offset: 0 });
  }

  close(fd: number): void {
    this.files.delete(fd);
  }

  closeRange(first: number, last: number): void {
    for (const fd of this.files.keys()) if (fd >= first && fd <= last) this.files.delete(fd);
  }

  duplicate(from: number, to: number): void {
    const file = this.files.get(from);
    if (file) this.files.set(to, file);
    else this.files.delete(to);
  }

  /** The new offset from the old one, for every descriptor of the description. */
  seek(fd: number, change: (offset: number) => number): void {
    const file = this.files.get(fd);
    if (!file) return;
    const moved = { ...file, offset: change(file.offset) };
    for (const [other, { id }] of this.files) if (id === file.id) this.files.set(other, moved);
  }

  clone(): RecordedFiles {
    return new RecordedFiles(this.files);
  }
}
