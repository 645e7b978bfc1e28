import { Errno, E, fail } from '../base/errno.js';
import { Mode, Open, type FileStat } from './node.js';
import { OpenFile, Poll } from './open-file.js';

const PIPE_BUF = 4096;
const CAPACITY = 1 << 16;

/** Memory limit of a diversion's pipes: beyond it new ones have one page, as in Linux (pipe(7)). */
export class PipeMemory {
  private left = 64 << 20;
  private lastInode = 0;

  /** Of the next pipe or socket. */
  newInode(): number {
    return ++this.lastInode;
  }

  take(): Uint8Array {
    const bytes = new Uint8Array(this.left >= CAPACITY ? CAPACITY : PIPE_BUF);
    this.left -= bytes.length;
    return bytes;
  }

  give(bytes: Uint8Array): void {
    this.left += bytes.length;
  }
}

/** The bytes between two ends. */
class Channel {
  private content: Uint8Array | null = null;
  /** Of writes and reads so far. */
  writes = 0;
  reads = 0;
  start = 0;
  size = 0;
  readers = 0;
  writers = 0;

  constructor(private readonly memory: PipeMemory) {}

  /** From the first write on. */
  get bytes(): Uint8Array {
    return (this.content ??= this.memory.take());
  }

  get capacity(): number {
    return this.content?.length ?? PIPE_BUF;
  }

  leave(): void {
    if (this.readers > 0 || this.writers > 0 || !this.content) return;
    this.memory.give(this.content);
    this.content = null;
  }
}

const pipeStat = (inode: number): FileStat => ({
  mode: Mode.fifo | 0o600,
  size: 0,
  inode,
  links: 1,
  uid: 0,
  gid: 0,
  mtime: [0, 0],
  device: 0xc,
});

class PipeEnd extends OpenFile {
  readonly path: string;

  constructor(
    protected readonly channel: Channel,
    private readonly inode: number,
    flags: number,
  ) {
    super();
    this.flags = flags;
    this.path = `pipe:[${inode}]`;
  }

  stat(): FileStat {
    return pipeStat(this.inode);
  }
}

class ReadEnd extends PipeEnd {
  override read(into: Uint8Array): number | null {
    const { channel } = this;
    if (into.length === 0) return 0;
    if (channel.size === 0) return channel.writers === 0 ? 0 : null;
    const count = Math.min(into.length, channel.size);
    for (let done = 0; done < count;) {
      const piece = Math.min(count - done, channel.capacity - channel.start);
      into.set(channel.bytes.subarray(channel.start, channel.start + piece), done);
      channel.start = (channel.start + piece) % channel.capacity;
      done += piece;
    }
    channel.size -= count;
    channel.reads++;
    return count;
  }

  override get activity(): number {
    return this.channel.writes;
  }

  override poll(): number {
    return (this.channel.size > 0 ? Poll.in : 0) | (this.channel.writers === 0 ? Poll.hup : 0);
  }

  protected override closed(): void {
    this.channel.readers--;
    this.channel.leave();
  }
}

/** Writing to it without readers fails with EPIPE; the signal is the caller's to send. */
class WriteEnd extends PipeEnd {
  override write(bytes: Uint8Array): number | null {
    const { channel } = this;
    if (channel.readers === 0) throw new Errno(E.EPIPE);
    const { length: capacity } = channel.bytes;
    const room = capacity - channel.size;
    // Up to PIPE_BUF bytes are written together or not at all (pipe(7)).
    if (room === 0 || (bytes.length <= PIPE_BUF && room < bytes.length)) return bytes.length === 0 ? 0 : null;
    const count = Math.min(room, bytes.length);
    for (let done = 0; done < count;) {
      const at = (channel.start + channel.size) % capacity;
      const piece = Math.min(count - done, capacity - at);
      channel.bytes.set(bytes.subarray(done, done + piece), at);
      channel.size += piece;
      done += piece;
    }
    channel.writes++;
    return count;
  }

  override get activity(): number {
    return this.channel.reads;
  }

  override poll(): number {
    const { channel } = this;
    if (channel.readers === 0) return Poll.out | Poll.err;
    return channel.capacity - channel.size >= PIPE_BUF ? Poll.out : 0;
  }

  protected override closed(): void {
    this.channel.writers--;
    this.channel.leave();
  }
}

/** @param flags O_NONBLOCK, or 0 */
export function makePipe(memory: PipeMemory, flags: number): { read: OpenFile; write: OpenFile } {
  const channel = new Channel(memory);
  channel.readers = channel.writers = 1;
  const inode = memory.newInode();
  return {
    read: new ReadEnd(channel, inode, Open.readOnly | flags),
    write: new WriteEnd(channel, inode, Open.writeOnly | flags),
  };
}

/** Files in transit between two sockets; those that are never received are closed. */
class Rights {
  private readonly queue: { readonly before: number; readonly files: readonly OpenFile[] }[] = [];
  private sent = 0;
  private received = 0;

  /** `count` bytes were written. */
  passed(count: number): void {
    this.sent += count;
  }

  /** They go with the byte that is written next. */
  add(files: readonly OpenFile[]): () => void {
    for (const file of files) file.retain();
    const sent = { before: this.sent, files };
    if (files.length > 0) this.queue.push(sent);
    return () => {
      const at = this.queue.indexOf(sent);
      if (at < 0) return;
      this.queue.splice(at, 1);
      for (const file of files) file.release();
    };
  }

  /** `count` bytes were read: the files that came with them. The caller releases each. */
  take(count: number): OpenFile[] {
    this.received += count;
    const files: OpenFile[] = [];
    while (this.queue.length > 0 && this.queue[0].before < this.received)
      files.push(...(this.queue.shift()?.files ?? []));
    return files;
  }

  close(): void {
    for (const { files } of this.queue.splice(0)) for (const file of files) file.release();
  }
}

/** One end of a pair of connected stream sockets: two channels. */
export class SocketEnd extends OpenFile {
  readonly path: string;
  /** Came with bytes that were read, and were not taken yet. */
  private readonly arrived: OpenFile[] = [];

  constructor(
    private readonly incoming: OpenFile,
    private readonly outgoing: OpenFile,
    private readonly rightsIn: Rights,
    private readonly rightsOut: Rights,
    inode: number,
    flags: number,
  ) {
    super();
    this.flags = Open.readWrite | flags;
    this.path = `socket:[${inode}]`;
    incoming.retain();
    outgoing.retain();
  }

  stat(): FileStat {
    return { ...this.incoming.stat(), mode: Mode.socket | 0o777 };
  }

  override read(into: Uint8Array): number | null {
    const count = this.incoming.read(into);
    this.arrived.push(...this.rightsIn.take(count ?? 0));
    return count;
  }

  override write(bytes: Uint8Array): number | null {
    const count = this.outgoing.write(bytes);
    this.rightsOut.passed(count ?? 0);
    return count;
  }

  /**
   * SCM_RIGHTS: files to send with the next write.
   * @returns a function that takes them back, if nothing is written
   */
  send(files: readonly OpenFile[]): () => void {
    return this.rightsOut.add(files);
  }

  /** Those that came with the bytes that were read; the caller releases each. */
  takeFiles(): OpenFile[] {
    return this.arrived.splice(0);
  }

  override poll(): number {
    return this.incoming.poll() | this.outgoing.poll();
  }

  override get activity(): number {
    return this.incoming.activity + this.outgoing.activity;
  }

  protected override closed(): void {
    for (const file of this.arrived.splice(0)) file.release();
    this.rightsIn.close();
    this.incoming.release();
    this.outgoing.release();
  }
}

/** socketpair(2) of streams. */
export function makeSocketPair(memory: PipeMemory, flags: number): [SocketEnd, SocketEnd] {
  const [there, back] = [makePipe(memory, 0), makePipe(memory, 0)];
  const [rights, rightsBack] = [new Rights(), new Rights()];
  const inode = memory.newInode();
  return [
    new SocketEnd(there.read, back.write, rights, rightsBack, inode, flags),
    new SocketEnd(back.read, there.write, rightsBack, rights, inode, flags),
  ];
}

/** eventfd(2). */
export class EventFd extends OpenFile {
  readonly path = 'anon_inode:[eventfd]';
  private changes = 0;

  constructor(
    private count: bigint,
    private readonly semaphore: boolean,
    flags: number,
  ) {
    super();
    this.flags = Open.readWrite | flags;
  }

  stat(): FileStat {
    return { ...pipeStat(1), mode: 0o600 };
  }

  override read(into: Uint8Array): number | null {
    if (into.length < 8) fail(E.EINVAL);
    if (this.count === 0n) return null;
    const taken = this.semaphore ? 1n : this.count;
    this.count -= taken;
    this.changes++;
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, taken, true);
    return 8;
  }

  override write(bytes: Uint8Array): number | null {
    if (bytes.length < 8) fail(E.EINVAL);
    const value = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    if (value === 2n ** 64n - 1n) fail(E.EINVAL);
    if (this.count + value >= 2n ** 64n - 1n) return null;
    this.count += value;
    this.changes++;
    return 8;
  }

  override get activity(): number {
    return this.changes;
  }

  override poll(): number {
    return (this.count > 0n ? Poll.in : 0) | Poll.out;
  }
}

/** timerfd(2): `expirations` returns the number of expirations since the last call. */
export class TimerFd extends OpenFile {
  readonly path = 'anon_inode:[timerfd]';
  private told = 0;
  /** Nanoseconds of its clock; 0: disarmed. */
  next = 0n;
  interval = 0n;

  constructor(
    readonly clock: number,
    private readonly now: (clock: number) => bigint,
    flags: number,
  ) {
    super();
    this.flags = Open.readWrite | flags;
  }

  stat(): FileStat {
    return { ...pipeStat(1), mode: 0o600 };
  }

  private due(): bigint {
    if (this.next === 0n) return 0n;
    const late = this.now(this.clock) - this.next;
    if (late < 0n) return 0n;
    return this.interval === 0n ? 1n : late / this.interval + 1n;
  }

  override read(into: Uint8Array): number | null {
    if (into.length < 8) fail(E.EINVAL);
    const count = this.due();
    if (count === 0n) return null;
    this.next = this.interval === 0n ? 0n : this.next + count * this.interval;
    this.told += Number(count);
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, count, true);
    return 8;
  }

  override get activity(): number {
    return this.told + Number(this.due());
  }

  override poll(): number {
    return this.due() > 0n ? Poll.in : 0;
  }
}
