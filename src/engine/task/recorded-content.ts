/** A file's bytes and identity as known from recorded calls. */

const PAGE = 4096;

/** The result of a stat-like call; numbers are exact. */
export interface RecordedStat {
  readonly device: number;
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly special: number;
  readonly mtime: readonly [number, number];
}

export interface ContentFacts {
  readonly stat: RecordedStat | null;
  /** Bytes; null: not known. */
  readonly size: number | null;
  /** It was empty at some time, and every change since is known. */
  readonly isWhole: boolean;
  /** The recording changed it. */
  readonly isWritten: boolean;
  /** Ranges of known bytes, ascending and disjoint: start and end. */
  readonly known: readonly (readonly [number, number])[];
  /** By number; unknown bytes are zero. */
  readonly pages: readonly (readonly [number, Uint8Array])[];
}

/** A file of the recording, under all its names. */
export class RecordedContent {
  stat: RecordedStat | null = null;
  size: number | null = null;
  isWhole = false;
  isWritten = false;
  /** Shared by several states: copied before it is changed. */
  isFrozen = false;
  private known: (readonly [number, number])[] = [];
  private pages = new Map<number, Uint8Array>();

  static of(facts: ContentFacts): RecordedContent {
    const content = new RecordedContent();
    const { stat, size, isWhole, isWritten, known, pages } = facts;
    Object.assign(content, { stat, size, isWhole, isWritten });
    content.known = [...known];
    content.pages = new Map(pages);
    return content;
  }

  get facts(): ContentFacts {
    const { stat, size, isWhole, isWritten, known } = this;
    return { stat, size, isWhole, isWritten, known, pages: [...this.pages] };
  }

  /** Some bytes are known, which may differ from a file of the same name here. */
  get hasBytes(): boolean {
    return this.isWhole || this.isWritten || this.known.length > 0;
  }

  copy(): RecordedContent {
    return RecordedContent.of(this.facts);
  }

  /** The content is completely known. */
  get isKnown(): boolean {
    if (this.isWhole) return true;
    if (this.size === null) return false;
    if (this.size === 0) return true;
    return this.known.length > 0 && this.known[0][0] === 0 && this.known[0][1] >= this.size;
  }

  /** It has no bytes from now on. */
  clear(): void {
    this.size = 0;
    this.isWhole = true;
    this.known = [];
    this.pages.clear();
  }

  /** Bytes that the recording wrote. */
  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.isWritten = true;
    this.put(offset, bytes);
    this.size = this.size === null ? null : Math.max(this.size, offset + bytes.length);
  }

  /** Bytes that the recording read: they were there. */
  saw(offset: number, bytes: Uint8Array): void {
    if (this.isWhole || bytes.length === 0) return;
    this.put(offset, bytes);
    if (this.size !== null) this.size = Math.max(this.size, offset + bytes.length);
  }

  truncate(size: number): void {
    this.isWritten = true;
    this.known = this.known.flatMap(([from, to]) =>
      from < size ? [[from, Math.min(to, size)] as const] : [],
    );
    for (const number of [...this.pages.keys()]) if (number * PAGE >= size) this.pages.delete(number);
    const last = Math.floor(size / PAGE);
    const page = this.pages.get(last);
    if (page) this.pages.set(last, page.slice().fill(0, size % PAGE));
    // A file is extended with zeros, the default content of pages.
    if (this.size !== null && size > this.size) this.mark(this.size, size);
    this.size = size;
  }

  /** Length of the known, or unknown, range from `offset`, at most `most`. */
  run(offset: number, most: number): { isKnown: boolean; length: number } {
    if (this.isWhole) return { isKnown: true, length: most };
    for (const [from, to] of this.known) {
      if (offset < from) return { isKnown: false, length: Math.min(most, from - offset) };
      if (offset < to) return { isKnown: true, length: Math.min(most, to - offset) };
    }
    return { isKnown: false, length: most };
  }

  /** Known bytes. */
  read(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const at = offset + done;
      const inPage = at % PAGE;
      const count = Math.min(PAGE - inPage, into.length - done);
      const page = this.pages.get(Math.floor(at / PAGE));
      if (page) into.set(page.subarray(inPage, inPage + count), done);
      else into.fill(0, done, done + count);
      done += count;
    }
  }

  private put(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = offset + done;
      const inPage = at % PAGE;
      const count = Math.min(PAGE - inPage, bytes.length - done);
      const number = Math.floor(at / PAGE);
      // Copies of this file share the pages.
      const page = this.pages.get(number)?.slice() ?? new Uint8Array(PAGE);
      page.set(bytes.subarray(done, done + count), inPage);
      this.pages.set(number, page);
      done += count;
    }
    this.mark(offset, offset + bytes.length);
  }

  private mark(from: number, to: number): void {
    const apart: (readonly [number, number])[] = [];
    for (const range of this.known) {
      if (range[1] < from || range[0] > to) apart.push(range);
      else [from, to] = [Math.min(from, range[0]), Math.max(to, range[1])];
    }
    this.known = [...apart, [from, to] as const].sort((a, b) => a[0] - b[0]);
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.pages.size * PAGE;
  }
}
