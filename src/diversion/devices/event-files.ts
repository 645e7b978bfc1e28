/** Descriptors of events: signals, exits of processes, changes of files; and sockets without a peer. */
import { E, fail } from '../base/errno.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Process } from '../kernel/process.js';
import { Mode, Open, type FileStat } from '../files/node.js';
import { deviceStat, OpenFile, Poll } from '../files/open-file.js';

/** An open file outside of file systems: its fstat result and flags. */
abstract class AnonymousFile extends OpenFile {
  constructor(flags: number) {
    super();
    this.flags = Open.readWrite | flags;
  }

  stat(): FileStat {
    return { ...deviceStat(0, 0o600), mode: 0o600 };
  }
}

/** struct signalfd_siginfo. */
const SIGNAL_BYTES = 128;

/** signalfd(2): signals of one process that it blocks. */
export class SignalFd extends AnonymousFile {
  readonly path = 'anon_inode:[signalfd]';
  private taken = 0;

  constructor(
    /** Null: it does not exist any more. */
    private readonly process: () => Process | null,
    public mask: bigint,
    flags: number,
  ) {
    super(flags);
  }

  private get queues(): Process['pending'][] {
    const process = this.process();
    return process ? [process.pending, ...[...process.threads].map(({ pending }) => pending)] : [];
  }

  override read(into: Uint8Array): number | null {
    if (into.length < SIGNAL_BYTES) fail(E.EINVAL);
    let done = 0;
    for (const queue of this.queues) {
      while (done + SIGNAL_BYTES <= into.length) {
        const signal = queue.take(this.mask);
        if (!signal) break;
        into.set(signalRecord(signal.info), done);
        done += SIGNAL_BYTES;
        this.taken++;
      }
    }
    return done === 0 ? null : done;
  }

  override get activity(): number {
    return this.taken + this.queues.reduce((sum, { mask }) => sum + Number(mask !== 0n), 0);
  }

  override poll(): number {
    return this.queues.some(({ mask }) => mask & this.mask) ? Poll.in : 0;
  }
}

/** siginfo_t in the layout of signalfd: signal, errno, code, then the sender's ids, timer, status and value. */
function signalRecord(info: Uint8Array): Uint8Array {
  const record = new Uint8Array(SIGNAL_BYTES);
  record.set(info.subarray(0, 12));
  record.set(info.subarray(16, 24), 12);
  record.set(info.subarray(24, 28), 40);
  record.set(info.subarray(24, 28), 44);
  record.set(info.subarray(24, 32), 48);
  record.set(info.subarray(16, 24), 72);
  return record;
}

/** pidfd_open(2): readable when the process has ended. */
export class PidFd extends AnonymousFile {
  readonly path = 'anon_inode:[pidfd]';

  constructor(
    private readonly kernel: Kernel,
    readonly pid: number,
    flags: number,
  ) {
    super(flags);
  }

  override poll(): number {
    const process = this.kernel.processes.get(this.pid);
    return !process || process.status !== null ? Poll.in : 0;
  }
}

/** inotify(7): accepts watches, and reports nothing. */
export class InotifyFd extends AnonymousFile {
  readonly path = 'anon_inode:inotify';
  /** The recording's are below. */
  private nextWatch = 1000;

  watch(): number {
    return this.nextWatch++;
  }

  override read(): null {
    return null;
  }

  override poll(): number {
    return 0;
  }
}

/** A socket of the recording whose peer is not in it: nothing can be received or sent. */
export class QuietSocket extends OpenFile {
  /** @param complain warns that it cannot be used here */
  constructor(
    readonly path: string,
    readonly listens: boolean,
    flags: number,
    private readonly complain: () => void,
  ) {
    super();
    this.flags = Open.readWrite | flags;
  }

  stat(): FileStat {
    return { ...deviceStat(0, 0o777), mode: Mode.socket | 0o777 };
  }

  override read(): null {
    if (this.listens) fail(E.EINVAL);
    this.complain();
    return null;
  }

  override write(): number {
    this.complain();
    return fail(E.EIO);
  }

  override poll(): number {
    return this.listens ? 0 : Poll.out;
  }
}
