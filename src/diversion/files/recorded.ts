import type { FdTable } from '../../engine/task/fd-table.js';
import type { RecordedFile } from '../../engine/task/recorded-files.js';
import type { Task } from '../../engine/task/task.js';
import { Errno } from '../errno.js';
import type { Kernel } from '../kernel.js';
import { Descriptors } from './descriptors.js';
import { Open } from './node.js';
import { LostFile, OutputStream, RegularFile, OpenDirectory, type OpenFile } from './open-file.js';
import { makePipe } from './pipe.js';

/** Flags of open(2) that make or change the file: done when the recording did it. */
const DONE = Open.create | Open.exclusive | Open.truncate | Open.closeOnExec;
const STREAMS = [1, 2] as const;

/** Opens again what the recorded program had open, as far as the trace tells. */
export class RecordedDescriptors {
  private readonly tables = new Map<FdTable, Descriptors>();
  private readonly opened = new Map<number, OpenFile>();
  private readonly pipes = new Map<string, ReturnType<typeof makePipe>>();
  private readonly input: OpenFile;
  private readonly outputs: Record<1 | 2, OpenFile>;

  constructor(private readonly kernel: Kernel) {
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
    for (const [fd, file] of task.fds.files) {
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

  private open(task: Task, fd: number, file: RecordedFile): OpenFile {
    let open = this.opened.get(file.id);
    if (!open) {
      open = file.kind === 'pipe' ? this.pipe(file) : this.reopen(task, fd, file);
      this.opened.set(file.id, open);
    }
    return open;
  }

  /** Both ends work in the diversion; what was in the pipe is not known. */
  private pipe(file: RecordedFile): OpenFile {
    let pipe = this.pipes.get(file.path);
    if (!pipe) this.pipes.set(file.path, (pipe = makePipe(this.kernel.pipes, file.flags & Open.nonblock)));
    return (file.flags & Open.accessMode) === Open.writeOnly ? pipe.write : pipe.read;
  }

  private reopen(task: Task, fd: number, file: RecordedFile): OpenFile {
    const { kernel } = this;
    const lost = (why: string): OpenFile => {
      const message = `descriptor ${fd} of the recorded program cannot be used in a diversion: it was ${file.path}${why}`;
      return new LostFile(file.path, () => kernel.sayOnce(`fd ${file.id}`, { fd, path: file.path }, message));
    };
    if (file.kind !== 'file') return lost('');
    const pid = task.group.tgid;
    try {
      const { path, node } = kernel.files.open('/', file.path, file.flags & ~DONE, 0, pid);
      if (node.kind === 'directory')
        return new OpenDirectory(path, node.stat, () => kernel.files.list(path, pid));
      if (node.kind !== 'file') return lost('');
      const open = new RegularFile(path, node.content);
      open.flags = file.flags & ~DONE;
      open.offset = file.offset;
      return open;
    } catch (error) {
      if (error instanceof Errno) return lost(`, which cannot be opened here (errno ${error.errno})`);
      throw error;
    }
  }
}
