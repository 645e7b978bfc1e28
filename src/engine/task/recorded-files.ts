import { RecordedContent, type ContentFacts, type RecordedStat } from './recorded-content.js';
import { RecordedSignals, type RecordedPending, type RecordedTimer } from './recorded-signals.js';

export type FileKind =
  | 'file'
  | 'pipe'
  | 'socket'
  | 'pair'
  | 'epoll'
  | 'eventfd'
  | 'timerfd'
  | 'signalfd'
  | 'inotify'
  | 'pidfd'
  | 'other';

/** The descriptors of an epoll(7) set. */
export interface RecordedInterest {
  readonly fd: number;
  /** The description that had the number then. */
  readonly file: number;
  readonly events: number;
  readonly data: bigint;
}

/** State of an open file description beyond its offset; what a kind does not need is absent. */
export interface RecordedState {
  /** `file`: number of its content. */
  readonly content?: number;
  /** `epoll`. */
  readonly interests?: readonly RecordedInterest[];
  /** `eventfd`: its counter, and whether reading takes one at a time. */
  readonly count?: bigint;
  readonly semaphore?: boolean;
  /** `timerfd`: its clock; its first expiration, in nanoseconds, of the clock or after `armedAt`; 0: disarmed. */
  readonly clock?: number;
  readonly first?: bigint;
  readonly interval?: bigint;
  readonly isAbsolute?: boolean;
  /** The recorder's clock when it was armed, in seconds. */
  readonly armedAt?: number;
  /** `signalfd`. */
  readonly mask?: bigint;
  /** `pidfd`. */
  readonly pid?: number;
  /** `pair`: which of the two ends. */
  readonly end?: number;
  /** Of a folder: what was read of its names since its beginning. */
  readonly listed?: readonly ListedName[];
  /** `socket`: it listens. */
  readonly listens?: boolean;
}

/** An entry of a folder: its name, and its type as getdents64(2) has it (DT_*). */
export type ListedName = readonly [name: string, type: number];

/** What is known from a recording about an open file description. */
export interface RecordedFile {
  /** Descriptors with the same one share offset and flags. */
  readonly id: number;
  readonly kind: FileKind;
  /** As the program named it, absolute where it could be made so; for other kinds what it is. */
  readonly path: string;
  /** O_* of open(2). */
  readonly flags: number;
  /** Bytes. */
  readonly offset: number;
  readonly state: RecordedState;
}

const NO_STATE: RecordedState = {};
/** Bytes of files' contents that are kept; the rest is unknown. */
const MOST_CONTENT = 64 << 20;
const MOST_IN_CHANNEL = 1 << 16;
/** As in Linux: of one path. */
const MOST_LINKS = 40;

/** The state as plain data. */
export interface WorldFacts {
  readonly files: readonly RecordedFile[];
  readonly contents: readonly (readonly [number, ContentFacts])[];
  readonly names: readonly (readonly [string, number])[];
  readonly channels: readonly (readonly [string, Uint8Array])[];
  readonly underWay: readonly (readonly [string, readonly number[]])[];
  readonly links: readonly (readonly [string, string])[];
  readonly listings: readonly (readonly [string, readonly ListedName[]])[];
  readonly pending: readonly RecordedPending[];
  readonly timers: readonly RecordedTimer[];
  readonly made: number;
}

/**
 * What the descriptor tables of a recording refer to: open file descriptions, contents and names of files, what is
 * in pipes. Replay has no use for it; a diversion makes the descriptors and files again.
 */
export class RecordedWorld {
  private nextId = 1;
  /** Pipes and pairs so far, for their names. */
  made = 0;
  private contentBytes = 0;
  /** Contents by device and inode. */
  private readonly identities = new Map<string, number>();
  /** Descriptions that were sent and not received yet. */
  readonly underWay = new Map<string, readonly number[]>();
  /** Targets of symbolic links by path. */
  readonly links = new Map<string, string>();
  /** Folders of which all names were read, or that were made: what was in them. */
  readonly listings = new Map<string, readonly ListedName[]>();
  signals = new RecordedSignals();

  constructor(
    private readonly descriptions = new Map<number, { file: RecordedFile; references: number }>(),
    readonly contents = new Map<number, RecordedContent>(),
    /** By absolute path: a number of `contents`, or 0 if the recording found or made the file absent. */
    readonly names = new Map<string, number>(),
    /** Bytes between ends of pipes and socket pairs. */
    readonly channels = new Map<string, Uint8Array>(),
  ) {
    const ids = [...descriptions.keys(), ...contents.keys(), 0];
    this.nextId = ids.reduce((most, id) => Math.max(most, id), 0) + 1;
    for (const [id, content] of contents) {
      this.contentBytes += content.bytes;
      if (content.stat) this.identify(id, content.stat);
    }
  }

  copy(): RecordedWorld {
    for (const content of this.contents.values()) content.isFrozen = true;
    const { descriptions, contents, names, channels } = this;
    const counted = [...descriptions].map(
      ([id, { file, references }]) => [id, { file, references }] as const,
    );
    const copy = new RecordedWorld(new Map(counted), new Map(contents), new Map(names), new Map(channels));
    copy.nextId = this.nextId;
    copy.made = this.made;
    for (const [way, ids] of this.underWay) copy.underWay.set(way, ids);
    for (const [path, target] of this.links) copy.links.set(path, target);
    for (const [path, names] of this.listings) copy.listings.set(path, names);
    copy.signals = this.signals.copy();
    return copy;
  }

  add(kind: FileKind, path: string, flags: number, state: RecordedState): number {
    const id = this.nextId++;
    this.descriptions.set(id, { file: { id, kind, path, flags, offset: 0, state }, references: 0 });
    return id;
  }

  /** Of checkpoint files. */
  static restored(facts: WorldFacts): RecordedWorld {
    const descriptions = facts.files.map((file) => [file.id, { file, references: 0 }] as const);
    const contents = facts.contents.map(([id, content]) => [id, RecordedContent.of(content)] as const);
    const world = new RecordedWorld(
      new Map(descriptions),
      new Map(contents),
      new Map(facts.names),
      new Map(facts.channels),
    );
    world.made = facts.made;
    for (const [way, ids] of facts.underWay) for (const id of ids) world.pass(way, id);
    for (const [path, target] of facts.links) world.links.set(path, target);
    for (const [path, names] of facts.listings) world.listings.set(path, names);
    world.signals = new RecordedSignals(facts.pending, facts.timers);
    return world;
  }

  get facts(): WorldFacts {
    return {
      files: [...this.descriptions.values()].map(({ file }) => file),
      contents: [...this.contents].map(([id, content]) => [id, content.facts]),
      names: [...this.names],
      channels: [...this.channels],
      underWay: [...this.underWay],
      links: [...this.links],
      listings: [...this.listings],
      pending: this.signals.pending,
      timers: this.signals.timers,
      made: this.made,
    };
  }

  find(id: number): RecordedFile | null {
    return this.descriptions.get(id)?.file ?? null;
  }

  change(id: number, changes: Partial<RecordedFile>): void {
    const known = this.descriptions.get(id);
    if (known) known.file = { ...known.file, ...changes };
  }

  retain(id: number): void {
    const known = this.descriptions.get(id);
    if (known) known.references++;
  }

  release(id: number): void {
    const known = this.descriptions.get(id);
    if (known && --known.references <= 0) this.descriptions.delete(id);
  }

  newContent(): number {
    const id = this.nextId++;
    this.contents.set(id, new RecordedContent());
    return id;
  }

  /** A content that may be changed. */
  content(id: number): RecordedContent | null {
    const content = this.contents.get(id);
    if (!content?.isFrozen) return content ?? null;
    const copy = content.copy();
    this.contents.set(id, copy);
    return copy;
  }

  /** The content with this identity. */
  identified({ device, inode }: RecordedStat): number | null {
    return this.identities.get(`${device}:${inode}`) ?? null;
  }

  identify(id: number, { device, inode }: RecordedStat): void {
    this.identities.set(`${device}:${inode}`, id);
  }

  /** Changes bytes of a content, unless there are too many of them already. */
  edit(id: number, change: (content: RecordedContent) => void): void {
    const content = this.content(id);
    if (!content) return;
    const before = content.bytes;
    if (this.contentBytes > MOST_CONTENT) return this.forget(content);
    change(content);
    this.contentBytes += content.bytes - before;
  }

  /** This write is not kept, so earlier known bytes are invalid. */
  private forget(content: RecordedContent): void {
    this.contentBytes -= content.bytes;
    content.clear();
    content.isWhole = false;
    content.size = null;
    content.isWritten = true;
  }

  /** The content at a path; a new one if nothing is known about it. */
  named(path: string): number {
    let id = this.names.get(path) ?? 0;
    if (id === 0) this.names.set(path, (id = this.newContent()));
    return id;
  }

  send(channel: string, bytes: Uint8Array): void {
    const before = this.channels.get(channel) ?? new Uint8Array(0);
    const after = new Uint8Array(Math.min(before.length + bytes.length, MOST_IN_CHANNEL));
    after.set(before);
    after.set(bytes.subarray(0, after.length - before.length), before.length);
    this.channels.set(channel, after);
  }

  /** A description is sent; it stays alive until it is received. */
  pass(way: string, id: number): void {
    this.retain(id);
    this.underWay.set(way, [...(this.underWay.get(way) ?? []), id]);
  }

  /** The next description that arrives; 0: not known. */
  passed(way: string): number {
    const [first, ...rest] = this.underWay.get(way) ?? [];
    this.underWay.set(way, rest);
    return first ?? 0;
  }

  /** A normalized path with known links resolved; `follows`: including its last component. */
  resolve(path: string, follows: boolean): string {
    if (this.links.size === 0) return path;
    let rest = path.split('/').filter((part) => part !== '');
    let at = '';
    for (let followed = 0; rest.length > 0;) {
      const [part, ...after] = rest;
      rest = after;
      if (part === '..') {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      if (part === '.') continue;
      const next = `${at}/${part}`;
      const target = rest.length > 0 || follows ? this.links.get(next) : undefined;
      if (target === undefined || ++followed > MOST_LINKS) at = next;
      else {
        rest = [...target.split('/').filter((name) => name !== ''), ...rest];
        if (target.startsWith('/')) at = '';
      }
    }
    return at === '' ? '/' : at;
  }

  /** The name is removed. */
  remove(path: string): void {
    this.links.delete(path);
    this.listings.delete(path);
    this.names.set(path, 0);
  }

  /** All names of a folder were read. */
  list(path: string, listed: readonly ListedName[]): void {
    this.listings.set(path, listed);
    const prefix = path === '/' ? '/' : `${path}/`;
    const there = new Set(listed.map(([name]) => name));
    for (const [name, id] of [...this.names]) {
      if (!name.startsWith(prefix) || name.indexOf('/', prefix.length) >= 0 || name.length === prefix.length)
        continue;
      const isThere = there.has(name.slice(prefix.length));
      if (isThere && id === 0) this.names.delete(name);
      else if (!isThere && id !== 0) this.remove(name);
    }
  }

  take(channel: string, count: number): void {
    const left = this.channels.get(channel)?.slice(count);
    if (left?.length) this.channels.set(channel, left);
    else this.channels.delete(channel);
  }
}

/** The open files of one descriptor table. */
export class RecordedFiles {
  /** @param fds descriptions by descriptor; each counts as one more use of its description */
  constructor(
    readonly world = new RecordedWorld(),
    private readonly fds = new Map<number, number>(),
  ) {
    for (const id of fds.values()) world.retain(id);
  }

  /** Numbers of descriptions by descriptor. */
  get numbers(): readonly (readonly [number, number])[] {
    return [...this.fds];
  }

  *[Symbol.iterator](): IterableIterator<[number, RecordedFile]> {
    for (const [fd, id] of this.fds) {
      const file = this.world.find(id);
      if (file) yield [fd, file];
    }
  }

  find(fd: number): RecordedFile | null {
    const id = this.fds.get(fd);
    return id === undefined ? null : this.world.find(id);
  }

  opened(fd: number, kind: FileKind, path: string, flags: number, state: RecordedState = NO_STATE): void {
    this.set(fd, this.world.add(kind, path, flags, state));
  }

  /** `fd` refers to a description that exists. */
  set(fd: number, id: number): void {
    this.world.retain(id);
    const before = this.fds.get(fd);
    this.fds.set(fd, id);
    if (before !== undefined) this.world.release(before);
  }

  close(fd: number): void {
    const id = this.fds.get(fd);
    if (id === undefined) return;
    this.fds.delete(fd);
    this.world.release(id);
  }

  closeRange(first: number, last: number): void {
    for (const fd of [...this.fds.keys()]) if (fd >= first && fd <= last) this.close(fd);
  }

  duplicate(from: number, to: number): void {
    const id = this.fds.get(from);
    if (id === undefined) this.close(to);
    else this.set(to, id);
  }

  /** `to` becomes a duplicate of `from` in another table of the same state. */
  take(source: RecordedFiles, from: number, to: number): void {
    const id = source.fds.get(from);
    if (id === undefined || source.world !== this.world) this.close(to);
    else this.set(to, id);
  }

  /** The new offset from the old one, for every descriptor of the description. */
  seek(fd: number, change: (offset: number) => number): void {
    const file = this.find(fd);
    if (file) this.world.change(file.id, { offset: change(file.offset) });
  }

  change(fd: number, state: RecordedState): void {
    const file = this.find(fd);
    if (file) this.world.change(file.id, { state: { ...file.state, ...state } });
  }

  /** For a process that is forked. */
  clone(): RecordedFiles {
    return new RecordedFiles(this.world, new Map(this.fds));
  }

  /** The same in a copy of the state, which already counts it. */
  copyInto(world: RecordedWorld): RecordedFiles {
    const copy = new RecordedFiles(world);
    for (const [fd, id] of this.fds) copy.fds.set(fd, id);
    return copy;
  }

  /** Its last task has exited. */
  leave(): void {
    for (const fd of [...this.fds.keys()]) this.close(fd);
  }
}
