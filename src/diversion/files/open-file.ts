import { E, fail } from '../base/errno.js';
import { Mode, Open, type DirectoryEntry, type FileContent, type FileStat, type Node } from './node.js';

/** POLL* of poll(2). */
export const Poll = { in: 1, pri: 2, out: 4, err: 8, hup: 16, invalid: 32 } as const;

const SEEK = { set: 0, current: 1, end: 2 } as const;

/**
 * An open file description. Reading and writing return null where the caller would have to wait; what fails
 * throws Errno.
 */
export abstract class OpenFile {
  /** O_* that F_GETFL shows. */
  flags = 0;
  /** Descriptors that refer to it, over all tables. */
  private references = 0;
  abstract readonly path: string;

  abstract stat(): FileStat;

  read(_into: Uint8Array): number | null {
    return fail(E.EINVAL);
  }

  write(_bytes: Uint8Array): number | null {
    return fail(E.EINVAL);
  }

  pread(_offset: number, _into: Uint8Array): number {
    return fail(E.ESPIPE);
  }

  pwrite(_offset: number, _bytes: Uint8Array): number {
    return fail(E.ESPIPE);
  }

  seek(_offset: number, _whence: number): number {
    return fail(E.ESPIPE);
  }

  truncate(_size: number): void {
    fail(E.EINVAL);
  }

  /** What poll(2) would report now. */
  poll(): number {
    return Poll.in | Poll.out;
  }

  /**
   * Incremented whenever data arrives or room is made: an edge for edge-triggered epoll. A spurious
   * edge costs a poll; a missing one would hang the waiter.
   */
  get activity(): number {
    return 0;
  }

  /** No descriptor refers to it any more. */
  get isClosed(): boolean {
    return this.references <= 0;
  }

  /** What it waits for happens outside of the diversion. */
  get isOutside(): boolean {
    return false;
  }

  /** For directories. */
  entries(): DirectoryEntry[] {
    return fail(E.ENOTDIR);
  }

  /** For mmap. */
  get content(): FileContent | null {
    return null;
  }

  /** A terminal for isatty(3). */
  get isTerminal(): boolean {
    return false;
  }

  get canRead(): boolean {
    return (this.flags & Open.accessMode) !== Open.writeOnly;
  }

  get canWrite(): boolean {
    return (this.flags & Open.accessMode) !== Open.readOnly;
  }

  retain(): void {
    this.references++;
  }

  release(): void {
    if (--this.references === 0) this.closed();
  }

  /** The last descriptor was closed. */
  protected closed(): void {}
}

/** A regular file. */
export class RegularFile extends OpenFile {
  offset = 0;

  constructor(
    readonly path: string,
    readonly file: FileContent,
  ) {
    super();
    file.hold?.();
  }

  override get content(): FileContent {
    return this.file;
  }

  stat(): FileStat {
    return this.file.stat();
  }

  override read(into: Uint8Array): number {
    const count = this.pread(this.offset, into);
    this.offset += count;
    return count;
  }

  override write(bytes: Uint8Array): number {
    if (this.flags & Open.append) this.offset = this.stat().size;
    const count = this.pwrite(this.offset, bytes);
    this.offset += count;
    return count;
  }

  override pread(offset: number, into: Uint8Array): number {
    if (offset < 0) fail(E.EINVAL);
    return this.file.read(offset, into);
  }

  override pwrite(offset: number, bytes: Uint8Array): number {
    if (offset < 0) fail(E.EINVAL);
    return this.file.write ? this.file.write(offset, bytes) : fail(E.EBADF);
  }

  override seek(offset: number, whence: number): number {
    const size = this.stat().size;
    const base = whence === SEEK.set ? 0 : whence === SEEK.current ? this.offset : size;
    if (whence === 3 || whence === 4) {
      // SEEK_DATA and SEEK_HOLE of a file without holes.
      if (offset >= size) fail(E.ENXIO);
      return (this.offset = whence === 3 ? offset : size);
    }
    if (whence > SEEK.end || base + offset < 0) fail(E.EINVAL);
    return (this.offset = base + offset);
  }

  protected override closed(): void {
    this.file.close?.();
  }

  override truncate(size: number): void {
    if (!this.file.truncate) fail(E.EINVAL);
    this.file.truncate(size);
  }
}

/** A directory; its entries are those at the first getdents. */
export class OpenDirectory extends OpenFile {
  position = 0;
  private list: DirectoryEntry[] | null = null;

  constructor(
    readonly path: string,
    private readonly facts: FileStat,
    private readonly read_: () => DirectoryEntry[],
  ) {
    super();
  }

  stat(): FileStat {
    return this.facts;
  }

  override read(): number {
    return fail(E.EISDIR);
  }

  override seek(offset: number, whence: number): number {
    if (whence !== SEEK.set || offset < 0) fail(E.EINVAL);
    if (offset === 0) this.list = null;
    return (this.position = offset);
  }

  override entries(): DirectoryEntry[] {
    return (this.list ??= this.read_());
  }
}

/** What the diverted program shows: its standard output or error. */
export class OutputStream extends OpenFile {
  constructor(
    readonly path: string,
    private readonly show: (bytes: Uint8Array) => void,
  ) {
    super();
    this.flags = Open.readWrite | Open.append;
  }

  stat(): FileStat {
    return deviceStat(0x8803, 0o620);
  }

  /** There is no input. */
  override read(): number {
    return 0;
  }

  override write(bytes: Uint8Array): number {
    this.show(bytes);
    return bytes.length;
  }

  override get isTerminal(): boolean {
    return true;
  }

  override poll(): number {
    return Poll.out;
  }
}

/** A descriptor of the recorded program whose content is not in the trace. */
export class UnavailableFile extends OpenFile {
  constructor(
    readonly path: string,
    private readonly complain: () => void,
  ) {
    super();
    this.flags = Open.readWrite;
  }

  stat(): FileStat {
    return { ...deviceStat(0, 0o600), mode: Mode.fifo | 0o600 };
  }

  override read(): number {
    this.complain();
    return fail(E.EIO);
  }

  override write(): number {
    this.complain();
    return fail(E.EIO);
  }

  /** It never becomes ready, so that a poll of many descriptors does not spin on it. */
  override poll(): number {
    return 0;
  }
}

export const deviceStat = (special: number, permissions: number): FileStat => ({
  mode: Mode.character | permissions,
  size: 0,
  inode: special + 1,
  links: 1,
  uid: 0,
  gid: 0,
  mtime: [0, 0],
  device: 5,
  special,
});

class Device extends OpenFile {
  constructor(
    readonly path: string,
    private readonly facts: FileStat,
    private readonly fill: ((into: Uint8Array) => number) | null,
    private readonly full: boolean,
  ) {
    super();
  }

  stat(): FileStat {
    return this.facts;
  }

  override read(into: Uint8Array): number {
    return this.fill ? this.fill(into) : 0;
  }

  override write(bytes: Uint8Array): number {
    return this.full ? fail(E.ENOSPC) : bytes.length;
  }

  override pread(_offset: number, into: Uint8Array): number {
    return this.read(into);
  }

  override pwrite(_offset: number, bytes: Uint8Array): number {
    return this.write(bytes);
  }

  override seek(): number {
    return 0;
  }
}

/** Opens a device that is emulated; the terminal is the diversion's output. */
export function openDevice(
  path: string,
  node: Extract<Node, { kind: 'device' }>,
  random: (into: Uint8Array) => void,
  terminal: () => OpenFile,
): OpenFile {
  const zeros = (into: Uint8Array): number => into.fill(0).length;
  switch (node.name) {
    case 'tty':
      return terminal();
    case 'null':
      return new Device(path, node.stat, null, false);
    case 'zero':
      return new Device(path, node.stat, zeros, false);
    case 'full':
      return new Device(path, node.stat, zeros, true);
    case 'random':
      return new Device(path, node.stat, (into) => (random(into), into.length), false);
  }
}
