/** A checkpoint as a document of plain JSON and a list of pages. The counterpart of decode.ts: the two must match. */
import { PAGE_SIZE, type Gpa } from '../base/address.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { SharedObject } from '../mm/backing.js';
import { Content } from '../mm/content.js';
import type { Vma } from '../mm/vma.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplayCore } from '../replay/state/core.js';
import { hasThreadLocals, THREAD_LOCALS } from '../guest/rr-abi.js';
import type { FdTable } from '../task/fd-table.js';
import { RecordedWorld } from '../task/recorded-files.js';
import type { Task, ThreadGroup } from '../task/task.js';
import { convertImage } from '../x86/xstate-image.js';
import { toBase64, toBig } from './shape.js';
import { encodeWorld } from './world.js';

/** Numbers objects in the order of their first occurrence. */
class Numbering<T> {
  private readonly numbers = new Map<T, number>();

  of(value: T): number {
    let number = this.numbers.get(value);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(value, number);
    }
    return number;
  }

  /** Including those that are added during the iteration. */
  *[Symbol.iterator](): IterableIterator<T> {
    yield* this.numbers.keys();
  }
}

export interface EncodedCheckpoint {
  readonly document: object;
  /** Pages in guest memory, by number; each once, even if several address spaces share it. */
  readonly pages: readonly Gpa[];
}

class Encoder {
  readonly pages = new Numbering<Gpa>();
  readonly files = new Numbering<string>();
  readonly objects = new Numbering<SharedObject>();
  readonly spaces = new Numbering<AddressSpace>();
  readonly tables = new Numbering<FdTable>();
  readonly groups = new Numbering<ThreadGroup>();
  private readonly content: Content;

  constructor(private readonly core: ReplayCore) {
    this.content = new Content(core.memory);
  }

  vma = ({ start, end, prot, backing, offset, name, file }: Vma): object => ({
    start,
    end,
    prot,
    offset,
    name,
    file: backing?.kind === 'file' ? this.files.of(backing.source.name) : null,
    object: backing?.kind === 'shared' ? this.objects.of(backing) : null,
    mapped: file && { ...file, device: toBig(file.device), inode: toBig(file.inode) },
  });

  space = (space: AddressSpace): object => {
    const pages: number[] = [];
    const tasksOwn = hasThreadLocals(space) ? THREAD_LOCALS : -1;
    this.content.visitChangedPrivate(space, (gva, page) => {
      if (gva !== tasksOwn) pages.push(gva / PAGE_SIZE, this.pages.of(page));
    });
    return {
      vmas: [...space.vmas].map(this.vma),
      dontFork: [...space.keptFromForks].map(({ start, end }) => [start, end]),
      brk: space.brk,
      brkStart: space.brkStart,
      shm: [...space.shmLengths],
      ldt: space.ldt && toBase64(space.ldt),
      pages,
    };
  };

  object = (object: SharedObject, keys: ReadonlyMap<SharedObject, string[]>): object => ({
    name: object.name,
    keys: keys.get(object) ?? [],
    pages: [...object].flatMap(([index, page]) => [index, this.pages.of(page)]),
  });

  table = ({ monitored, files }: FdTable): object => ({ monitors: [...monitored], files: files.numbers });

  group = ({ tgid, parent, program, actions, directory, status }: ThreadGroup): object => ({
    tgid,
    parent: parent && this.groups.of(parent),
    program: program && { ...program, auxv: toBase64(program.auxv) },
    actions: [...actions].map(([signal, action]) => [signal, { ...action, mask: toBig(action.mask) }]),
    directory,
    status,
  });

  task = (task: Task): object => {
    const { hardware, recorded } = this.core.vectors;
    return {
      tid: task.tid,
      serial: task.serial,
      space: this.spaces.of(task.space),
      fds: this.tables.of(task.fds),
      group: this.groups.of(task.group),
      registers: toBase64(task.registers),
      xstate: task.xstate && toBase64(convertImage(task.xstate, hardware, recorded)),
      threadDescriptors: toBase64(task.threadDescriptors),
      name: task.name,
      threadLocals: task.threadLocals === 0 ? null : this.pages.of(task.threadLocals),
      scratch: [task.scratchStart, task.scratchEnd],
      syscallbuf: [task.syscallbuf, task.syscallbufSize],
      preload: task.preload,
      rseq: task.rseq,
      clonedData: task.clonedData && { name: task.clonedData.source.name, offset: task.clonedData.offset },
      entered: task.entered,
      skipNextExecution: task.skipNextExecution,
      dying: task.dying,
      syscall: task.syscall,
      syscallSince: task.syscallSince,
      stopped: task.stopped,
      signalMask: toBig(task.signalMask),
      altStack: task.altStack,
      clearTid: task.clearTid,
      robustList: task.robustList,
      recTicks: task.recTicks,
      ticks: task.ticks,
    };
  };
}

/** All tables of a replay refer to the same one. */
function worldOf({ tasks }: Checkpoint): object {
  return encodeWorld(tasks.length > 0 ? tasks[0].fds.files.world : new RecordedWorld());
}

/** Does not touch the checkpoint; valid as long as it is. */
export function encodeCheckpoint(core: ReplayCore, checkpoint: Checkpoint): EncodedCheckpoint {
  const encoder = new Encoder(core);
  const keys = new Map<SharedObject, string[]>();
  for (const [key, object] of checkpoint.sharedObjects) keys.set(object, [...(keys.get(object) ?? []), key]);
  // The order matters: later parts assign the numbers of earlier ones.
  const tasks = checkpoint.tasks.map(encoder.task);
  const groups = [];
  for (const group of encoder.groups) groups.push(encoder.group(group));
  const spaces = [...encoder.spaces].map(encoder.space);
  const objects = [...encoder.objects].map((object) => encoder.object(object, keys));
  const { position, inside, frameTime, frames, previousTid, written } = checkpoint;
  const document = {
    position,
    inside,
    frameTime,
    frames,
    previousTid,
    written,
    core: checkpoint.core,
    mxcsrMask: core.vectors.learntMask ?? null,
    files: [...encoder.files],
    objects,
    spaces,
    tables: [...encoder.tables].map(encoder.table),
    world: worldOf(checkpoint),
    groups,
    tasks,
  };
  return { document, pages: [...encoder.pages] };
}
