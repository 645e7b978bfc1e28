import { RecordedFiles, type RecordedWorld } from './recorded-files.js';

export interface StreamMonitor {
  readonly kind: 'stream';
  readonly stream: 1 | 2;
  /** Not known to the recorder: calls on it may be buffered, without frames. */
  readonly unframed?: boolean;
  /** Only for unframed ones: for the others the trace contains which an exec closes. */
  readonly closesOnExec?: boolean;
}

/** What replay needs to know about a descriptor; there are no real descriptors at replay. */
export type Monitor =
  /** It refers to the recorded terminal or pipe: writes are shown on this stream. */
  | StreamMonitor
  /** /proc/TID/mem: writes go to the memory of that task. */
  | { readonly kind: 'memory'; readonly tid: number }
  /** The folder /proc/TID/fd, in which files are opened that are descriptors of that task. */
  | { readonly kind: 'descriptors'; readonly tid: number }
  /** A pidfd, by which descriptors of that task's process can be taken. */
  | { readonly kind: 'process'; readonly tid: number };

const STREAMS: readonly Monitor[] = [
  { kind: 'stream', stream: 1 },
  { kind: 'stream', stream: 2 },
];

/** The monitored descriptors of the tasks that share a descriptor table (rr-traces.md 6.5). */
export class FdTable {
  private readonly monitors: Map<number, Monitor>;
  users = 0;
  /** Whether calls without a frame may write output or pass on descriptors of it. */
  unframed = false;
  /** What a diversion opens again. */
  readonly files: RecordedFiles;

  /** @param monitors by descriptor; without it, standard output and error of a first program */
  constructor(monitors?: Iterable<readonly [number, Monitor]>, files = new RecordedFiles()) {
    this.files = files;
    this.monitors = new Map(monitors ?? STREAMS.map((monitor, index) => [index + 1, monitor]));
    this.review();
  }

  get monitored(): ReadonlyMap<number, Monitor> {
    return this.monitors;
  }

  find(fd: number): Monitor | null {
    return this.monitors.get(fd) ?? null;
  }

  attach(fd: number, monitor: Monitor): void {
    this.monitors.set(fd, monitor);
    this.review();
  }

  close(fd: number): void {
    this.forget(fd);
    this.files.close(fd);
  }

  /** exec: descriptors that the recorder does not know. */
  closeUnframedForExec(): void {
    for (const [fd, monitor] of this.monitors)
      if (monitor.kind === 'stream' && monitor.closesOnExec) this.close(fd);
  }

  /** FD_CLOEXEC, which matters for unframed ones only. */
  setCloseOnExec(fd: number, closesOnExec: boolean): void {
    const monitor = this.monitors.get(fd);
    if (monitor?.kind === 'stream' && monitor.unframed) this.attach(fd, { ...monitor, closesOnExec });
  }

  /** close_range: first and last are inclusive. */
  closeRange(first: number, last: number): void {
    for (const fd of this.monitors.keys()) if (fd >= first && fd <= last) this.forget(fd);
    this.files.closeRange(first, last);
  }

  /** dup of any kind: `to` becomes what `from` is. */
  duplicate(from: number, to: number, closesOnExec = false): void {
    if (from === to) return;
    this.files.duplicate(from, to);
    const monitor = this.monitors.get(from);
    if (monitor === undefined) return this.forget(to);
    this.attach(to, monitor);
    this.setCloseOnExec(to, closesOnExec);
  }

  /** pidfd_getfd: `to` becomes what `from` is in `source`. */
  take(source: FdTable, from: number, to: number): void {
    if (source === this) return this.duplicate(from, to);
    this.close(to);
    this.files.take(source.files, from, to);
    const monitor = source.find(from);
    if (monitor) this.attach(to, monitor);
  }

  private forget(fd: number): void {
    if (this.monitors.delete(fd)) this.review();
  }

  private review(): void {
    this.unframed = false;
    for (const monitor of this.monitors.values())
      if (monitor.kind === 'stream' && monitor.unframed) this.unframed = true;
  }

  clone(): FdTable {
    return new FdTable(this.monitors, this.files.clone());
  }

  /** The same table in a copy of everything that it refers to. */
  copyInto(world: RecordedWorld): FdTable {
    return new FdTable(this.monitors, this.files.copyInto(world));
  }
}
