import type { FdTable } from '../../engine/task/fd-table.js';
import type { RecordedFile, RecordedInterest, RecordedWorld } from '../../engine/task/recorded-files.js';
import type { Task } from '../../engine/task/task.js';
import { Errno } from '../base/errno.js';
import type { Kernel } from '../kernel/kernel.js';
import { Descriptors } from '../files/descriptors.js';
import { EpollSet } from '../files/epoll.js';
import { InotifyFd, PidFd, QuietSocket, SignalFd } from './event-files.js';
import type { MemoryFile } from '../files/memory-file.js';
import { Open, type FileContent } from '../files/node.js';
import {
  UnavailableFile,
  OpenDirectory,
  OutputStream,
  RegularFile,
  openDevice,
  type OpenFile,
} from '../files/open-file.js';
import { EventFd, TimerFd, makePipe, makeSocketPair } from '../files/pipe.js';
import type { WorldFiles } from '../files/world-files.js';

const NOTHING = new Uint8Array(0);
/** Flags of open(2) that make or change the file: done when the recording did it. */
const DONE = Open.create | Open.exclusive | Open.truncate | Open.closeOnExec;
const STREAMS = [1, 2] as const;

/** Reopens the recorded program's descriptors, as far as known from the trace. */
export class RecordedDescriptors {
  private readonly tables = new Map<FdTable, Descriptors>();
  private readonly opened = new Map<number, OpenFile>();
  /** Both ends of each pipe and pair. */
  private readonly pipes = new Map<string, [OpenFile, OpenFile]>();
  private readonly sets: [EpollSet, readonly RecordedInterest[]][] = [];
  private readonly removed = new Map<number, MemoryFile>();
  private readonly input: OpenFile;
  private readonly outputs: Record<1 | 2, OpenFile>;

  constructor(
    private readonly kernel: Kernel,
    private readonly world: RecordedWorld,
    private readonly files: WorldFiles,
  ) {
    const stream = (number: 1 | 2): OpenFile =>
      new OutputStream('/dev/tty', (bytes) => kernel.show(number, bytes));
    this.outputs = { 1: stream(1), 2: stream(2) };
    this.input = stream(1);
  }

  /** A terminal of the diversion's. */
  get terminal(): OpenFile {
    return this.outputs[1];
  }

  tableOf(task: Task): Descriptors {
    const known = this.tables.get(task.fds);
    if (known) {
      known.users++;
      return known;
    }
    const table = new Descriptors();
    this.tables.set(task.fds, table);
    table.set(0, this.input, false);
    // A writer gets a copy of the file, which later opens see.
    const writesFirst = ([, { flags }]: [number, RecordedFile]): number =>
      Number((flags & Open.accessMode) === Open.readOnly);
    for (const [fd, file] of [...task.fds.files].sort((a, b) => writesFirst(a) - writesFirst(b))) {
      if (task.fds.find(fd)?.kind === 'stream' || fd >= 1024 || fd < 0) continue;
      table.set(fd, this.open(task, fd, file), (file.flags & Open.closeOnExec) !== 0);
    }
    for (let fd = 0; fd < 1024; fd++) {
      const monitor = task.fds.find(fd);
      if (monitor?.kind === 'stream') table.set(fd, this.outputs[monitor.stream], false);
    }
    for (const fd of STREAMS) if (!table.find(fd)) this.kernel.log.debug({ fd }, 'closed in the recording');
    return table;
  }

  /** When all tables exist: connects epoll sets with their descriptors, and closes unused ends. */
  settle(): void {
    for (const [set, interests] of this.sets) {
      for (const { fd, file, events, data } of interests) {
        const open = this.opened.get(file);
        if (open && !open.isClosed) set.adopt(fd, open, events, data);
      }
    }
    for (const ends of this.pipes.values()) {
      for (const end of ends) {
        if (!end.isClosed) continue;
        end.retain();
        end.release();
      }
    }
  }

  private open(task: Task, fd: number, file: RecordedFile): OpenFile {
    let open = this.opened.get(file.id);
    if (!open) {
      open = this.reopen(task, fd, file);
      this.opened.set(file.id, open);
    }
    return open;
  }

  /** Both ends work in the diversion, and unread data is in the pipe, as far as its writes are known. */
  private pipe(file: RecordedFile): OpenFile {
    let pipe = this.pipes.get(file.path);
    if (!pipe) {
      const { read, write } = makePipe(this.kernel.pipes, file.flags & Open.nonblock);
      this.pipes.set(file.path, (pipe = [read, write]));
      write.write(this.world.channels.get(file.path) ?? NOTHING);
    }
    const [read, write] = pipe;
    return (file.flags & Open.accessMode) === Open.writeOnly ? write : read;
  }

  private pair(task: Task, file: RecordedFile): OpenFile {
    let pair = this.pipes.get(file.path);
    if (!pair) {
      const ends = makeSocketPair(this.kernel.pipes, file.flags & Open.nonblock);
      this.pipes.set(file.path, (pair = ends));
      ends.forEach((end, number) => {
        const way = `${file.path}>${number}`;
        end.send(this.underWay(task, way));
        end.write(this.world.channels.get(way) ?? NOTHING);
      });
    }
    return pair[file.state.end === 1 ? 1 : 0];
  }

  /** Descriptions that were sent and not received. */
  private underWay(task: Task, way: string): OpenFile[] {
    return (this.world.underWay.get(way) ?? []).flatMap((id) => {
      const file = this.world.find(id);
      return file ? [this.open(task, -1, file)] : [];
    });
  }

  private reopen(task: Task, fd: number, file: RecordedFile): OpenFile {
    const { kernel } = this;
    const { kind, state, flags } = file;
    const nonblock = flags & Open.nonblock;
    const complain = (why: string): void => {
      const message = `descriptor ${fd} of the recorded program cannot be used in a diversion: it was ${file.path}${why}`;
      kernel.warnOnce(`fd ${file.id}`, { fd, path: file.path }, message);
    };
    const lost = (why: string): OpenFile => new UnavailableFile(file.path, () => complain(why));
    switch (kind) {
      case 'file':
        return this.reopenFile(task, file, lost);
      case 'pipe':
        return this.pipe(file);
      case 'pair':
        return this.pair(task, file);
      case 'epoll': {
        const set = new EpollSet();
        this.sets.push([set, state.interests ?? []]);
        return set;
      }
      case 'eventfd':
        return new EventFd(state.count ?? 0n, state.semaphore ?? false, nonblock);
      case 'timerfd':
        return this.timer(file);
      case 'signalfd': {
        const { tgid } = task.group;
        return new SignalFd(() => kernel.processes.get(tgid) ?? null, state.mask ?? 0n, nonblock);
      }
      case 'inotify':
        return new InotifyFd(nonblock);
      case 'pidfd':
        return new PidFd(kernel, state.pid ?? 0, nonblock);
      case 'socket':
        return new QuietSocket(file.path, state.listens ?? false, nonblock, () => complain(''));
      default:
        return lost('');
    }
  }

  /** It continues with its remaining time. */
  private timer({ state, flags }: RecordedFile): OpenFile {
    const { clock } = this.kernel;
    const now = (number: number): bigint => clock.now(number);
    const timer = new TimerFd(state.clock ?? 0, now, flags & Open.nonblock);
    const { first = 0n, interval = 0n, armedAt = 0, isAbsolute } = state;
    timer.interval = interval;
    if (first === 0n) return timer;
    const passed = clock.monotonic - BigInt(Math.round(armedAt * 1e9));
    timer.next = isAbsolute ? first : clock.now(timer.clock) - passed + first;
    return timer;
  }

  private reopenFile(task: Task, file: RecordedFile, lost: (why: string) => OpenFile): OpenFile {
    const { kernel } = this;
    const pid = task.group.tgid;
    const flags = file.flags & ~DONE;
    const opened = (path: string, content: FileContent): OpenFile => {
      const open = new RegularFile(path, content);
      open.flags = flags;
      open.offset = file.offset;
      return open;
    };
    const id = file.state.content;
    const name = id === undefined ? file.path : this.nameOf(id, file.path);
    try {
      if (name === null) {
        const content = this.unnamed(id ?? 0, file.path);
        return content ? opened(file.path, content) : lost(', which was removed');
      }
      const { path, node } = kernel.files.open('/', name, flags, 0, pid);
      if (node.kind === 'directory')
        return new OpenDirectory(path, node.stat, () => kernel.files.list(path, pid));
      if (node.kind === 'device') return openDevice(path, node, kernel.random, () => this.outputs[1]);
      return node.kind === 'file' ? opened(path, node.content) : lost('');
    } catch (error) {
      if (error instanceof Errno) return lost(`, which cannot be opened here (errno ${error.errno})`);
      throw error;
    }
  }

  /** A path of a content, the one that it was opened by if possible; null: it has none any more. */
  private nameOf(id: number, path: string): string | null {
    const { names } = this.world;
    if (names.get(path) === id) return path;
    for (const [name, content] of names) if (content === id) return name;
    return null;
  }

  /** A removed file that is open: all of its descriptors see the same bytes. */
  private unnamed(id: number, path: string): FileContent | null {
    let content = this.removed.get(id);
    if (!content) {
      const source = this.files.unnamed(path, id);
      if (!source) return null;
      content = this.kernel.files.anonymous(source);
      content.links = 0;
      this.removed.set(id, content);
    }
    return content;
  }
}
