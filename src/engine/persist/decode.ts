/**
 * A checkpoint from its document and pages. The file may be damaged or hostile: all values are
 * checked, and files that it refers to must be in the trace.
 */
import { PAGE_SIZE, USER_END, type Gpa, type Gva, gva as toGva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import type { AddressSpace } from '../mm/address-space.js';
import { type FileBacking, SharedObject } from '../mm/backing.js';
import { isShared, type MappedFile, type Vma } from '../mm/vma.js';
import type { Checkpoint, PlannedStep } from '../replay/state/checkpoint.js';
import type { ReplayCore } from '../replay/state/core.js';
import { Action, Goal } from '../replay/plan/step.js';
import { FdTable, type Monitor } from '../task/fd-table.js';
import { RecordedFiles, RecordedWorld } from '../task/recorded-files.js';
import { SignalActions } from '../task/signal-state.js';
import { Task, ThreadGroup, type Program } from '../task/task.js';
import type { MessagePosition } from '../trace/messages.js';
import type { TracePosition } from '../trace/reader.js';
import { convertImage } from '../x86/xstate-image.js';
import { TraceFiles } from './trace-files.js';
import { decodeWorld } from './world.js';
import {
  address,
  big,
  boolean,
  bytes,
  damaged,
  fields,
  finite,
  integer,
  list,
  oneOf,
  orNull,
  pageAddress,
  pair,
  text,
  words,
} from './shape.js';

/** Pages that a shared object may have: as many as an address space. */
const MAX_PAGE_INDEX = USER_END / PAGE_SIZE;
const REGISTER_WORDS = 54;
const DESCRIPTOR_WORDS = 6;
const MAX_LDT_WORDS = 2 * 8192;
const MAX_SIGNAL = 64;
const MAX_XSTATE_BYTES = 1 << 16;
const INT32 = 2 ** 31;

const signed = (value: unknown, what: string): number => integer(value, what, -INT32, INT32 - 1);
const at =
  <T>(values: readonly T[], what: string) =>
  (value: unknown): T =>
    values[integer(value, what, 0, values.length - 1)];

/** Two numbers an entry, flat. */
function pairs(value: unknown, what: string): [number, number][] {
  const flat = list(value, what, (item) => integer(item, what));
  if (flat.length % 2 !== 0) damaged(`${what} has an odd length`);
  return Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n], flat[2 * n + 1]]);
}

function messagePosition(value: unknown): MessagePosition {
  const position = fields(value, 'a position');
  return {
    chunk: integer(position.chunk, 'a chunk', -1),
    offset: integer(position.offset, 'an offset'),
    ordinal: integer(position.ordinal, 'an ordinal'),
  };
}

function tracePosition(value: unknown): TracePosition {
  const { frames, dataCursor, events, mmaps, tasks } = fields(value, 'the position');
  const record = (of: unknown): TracePosition['mmaps'] => {
    const { at: place, lastTime } = fields(of, 'a position');
    return { at: messagePosition(place), lastTime: integer(lastTime, 'a time') };
  };
  return {
    frames: integer(frames, 'the position'),
    dataCursor: integer(dataCursor, 'the data cursor'),
    events: messagePosition(events),
    mmaps: record(mmaps),
    tasks: record(tasks),
  };
}

function plannedStep(value: unknown): PlannedStep {
  const step = fields(value, 'the step');
  return {
    goal: oneOf<Goal>(step.goal, 'the goal', Object.values(Goal)),
    action: oneOf<Action>(step.action, 'the action', Object.values(Action)),
    address: integer(step.address, 'the goal', -1),
    signal: integer(step.signal, 'the signal', 0, MAX_SIGNAL),
  };
}

function program(value: unknown): Program {
  const { path, arguments: args, initialStack, auxv, file } = fields(value, 'a program');
  return {
    path: text(path, 'a path'),
    arguments: list(args, 'arguments', (item) => text(item, 'an argument')),
    initialStack: address(initialStack, 'a stack'),
    auxv: bytes(auxv, 'an auxiliary vector'),
    file: text(file, 'a path'),
  };
}

function monitor(value: unknown): Monitor {
  const { kind, stream, tid, unframed, closesOnExec } = fields(value, 'a monitor');
  if (kind === 'stream')
    return {
      kind,
      stream: oneOf<1 | 2>(stream, 'a stream', [1, 2]),
      unframed: unframed === true,
      closesOnExec: closesOnExec === true,
    };
  if (kind === 'memory' || kind === 'process' || kind === 'descriptors')
    return { kind, tid: signed(tid, 'a task') };
  return damaged('a monitor is of no kind');
}

function mappedFile(value: unknown): MappedFile {
  const { path, device, inode, offset } = fields(value, 'a mapped file');
  return {
    path: text(path, 'a path'),
    device: big(device, 'a device'),
    inode: big(inode, 'an inode'),
    offset: finite(offset, 'an offset'),
  };
}

/** Makes a checkpoint step by step; its resources can be freed in any state. */
class Decoder {
  private readonly backings: FileBacking[] = [];
  private readonly objects: SharedObject[] = [];
  private readonly spaces: AddressSpace[] = [];
  private readonly tasks: Task[] = [];
  private readonly fileOf: (value: unknown) => FileBacking = at(this.backings, 'a file');
  private readonly objectOf: (value: unknown) => SharedObject = at(this.objects, 'a shared object');
  private readonly pageOf: (value: unknown) => Gpa;

  /** @param pages each with a count that is the caller's */
  constructor(
    private readonly core: ReplayCore,
    private readonly files: TraceFiles,
    pages: readonly Gpa[],
  ) {
    this.pageOf = at(pages, 'a page');
  }

  checkpoint(value: unknown): Checkpoint {
    const document = fields(value, 'the document');
    const position = tracePosition(document.position);
    this.files.readTo(position.frames);
    for (const name of list(document.files, 'files', (item) => text(item, 'a file')))
      this.backings.push(this.files.backing(name));
    const sharedObjects = new Map<string, SharedObject>();
    list(document.objects, 'shared objects', (item) => this.object(item, sharedObjects));
    list(document.spaces, 'address spaces', (item) => this.space(item));
    const world = RecordedWorld.restored(decodeWorld(document.world));
    const tables = list(document.tables, 'descriptor tables', (item) => this.table(item, world));
    const groups = this.groups(document.groups);
    list(document.tasks, 'tasks', (item) => this.task(item, tables, groups));
    if (this.spaces.some(({ users }) => users === 0)) damaged('an address space has no task');
    if (this.objects.some(({ mappings }) => mappings === 0)) damaged('a shared object has no mapping');
    const mask = orNull(document.mxcsrMask, (item) => integer(item, 'the mask', 0, 2 ** 32 - 1));
    const core = fields(document.core, 'the counters');
    const checkpoint: Checkpoint = {
      position,
      inside: orNull(document.inside, plannedStep),
      frameTime: integer(document.frameTime, 'the frame'),
      frames: integer(document.frames, 'frames'),
      previousTid: signed(document.previousTid, 'a task'),
      written: pair(
        document.written,
        'output',
        (item) => integer(item, 'output'),
        (item) => integer(item, 'output'),
      ),
      core: {
        nextSerial: integer(core.nextSerial, 'a counter'),
        taskCount: integer(core.taskCount, 'a counter'),
        exitStatus: orNull(core.exitStatus, (item) => signed(item, 'a status')),
        firstTid: signed(core.firstTid, 'a task'),
        recordedSec: finite(core.recordedSec, 'the clock'),
      },
      tasks: this.tasks,
      sharedObjects,
      isFromFile: true,
    };
    if (checkpoint.frameTime !== position.frames) damaged('the frame and the position disagree');
    if (mask !== null) this.core.vectors.learn(mask);
    return checkpoint;
  }

  /** Frees everything. */
  discard(): void {
    for (const { threadLocals } of this.tasks) if (threadLocals !== 0) this.core.memory.release(threadLocals);
    for (const space of this.spaces) space.destroy();
    for (const object of this.objects) if (!object.isDestroyed) object.destroy();
  }

  private object(value: unknown, byKey: Map<string, SharedObject>): void {
    const { name, keys, pages } = fields(value, 'a shared object');
    const object = new SharedObject(this.core.memory, text(name, 'a name'));
    this.objects.push(object);
    for (const key of list(keys, 'keys', (item) => text(item, 'a key'))) byKey.set(key, object);
    for (const [index, number] of pairs(pages, 'pages')) {
      const page = this.pageOf(number);
      if (index > MAX_PAGE_INDEX || object.peek(index) !== 0) damaged('a shared object has a page twice');
      this.core.memory.retain(page);
      object.adopt(index, page);
    }
  }

  private vma(value: unknown): Vma {
    const { start, end, prot, offset, name, file, object, mapped } = fields(value, 'a mapping');
    const vma: Vma = {
      start: pageAddress(start, 'a mapping'),
      end: pageAddress(end, 'a mapping'),
      prot: integer(prot, 'a protection', 0, 7),
      offset: integer(offset, 'an offset'),
      name: text(name, 'a name'),
      backing: orNull(object, this.objectOf) ?? orNull(file, this.fileOf),
      file: orNull(mapped, mappedFile),
    };
    if (vma.start >= vma.end || vma.offset % PAGE_SIZE !== 0) damaged('a mapping is not a range of pages');
    return vma;
  }

  private space(value: unknown): void {
    const { vmas, dontFork, brk, brkStart, shm, ldt, pages } = fields(value, 'an address space');
    const space = this.core.newAddressSpace();
    this.spaces.push(space);
    let last = 0;
    for (const item of list(vmas, 'mappings', (each) => each)) {
      const vma = this.vma(item);
      if (vma.start < last) damaged('mappings overlap');
      last = vma.end;
      space.map(vma);
      if (vma.file) this.files.register(vma.file.path);
    }
    const range = (item: unknown): [Gva, Gva] =>
      pair(
        item,
        'a range',
        (each) => pageAddress(each, 'a range'),
        (each) => pageAddress(each, 'a range'),
      );
    for (const [start, end] of list(dontFork, 'ranges', range)) space.setDontFork(start, end, true);
    space.brk = address(brk, 'the break');
    space.brkStart = address(brkStart, 'the break');
    const length = (item: unknown): [Gva, number] =>
      pair(
        item,
        'a segment',
        (each) => address(each, 'a segment'),
        (each) => integer(each, 'a length'),
      );
    for (const [start, size] of list(shm, 'segments', length)) space.shmLengths.set(start, size);
    space.ldt = orNull(ldt, (item) => {
      const table = bytes(item, 'descriptors');
      if (table.length % 8 !== 0 || table.length > 4 * MAX_LDT_WORDS) damaged('descriptors are cut off');
      return new Uint32Array(table.buffer);
    });
    for (const [number, page] of pairs(pages, 'pages')) {
      const gva = address(number * PAGE_SIZE, 'a page');
      const vma = space.vmas.find(gva);
      if (!vma || isShared(vma) || space.residentPage(gva) !== 0) damaged('a page is in no private mapping');
      space.pinPage(gva, this.pageOf(page));
    }
  }

  private table(value: unknown, world: RecordedWorld): FdTable {
    const { monitors, files } = fields(value, 'a descriptor table');
    const fd = (item: unknown): number => signed(item, 'a descriptor');
    return new FdTable(
      list(monitors, 'monitors', (item) => pair(item, 'a monitor', fd, monitor)),
      new RecordedFiles(
        world,
        new Map(list(files, 'files', (item) => pair(item, 'a file', fd, (id) => integer(id, 'a file')))),
      ),
    );
  }

  /** A parent that is later in the list than its child could make a cycle: it is then ignored. */
  private groups(value: unknown): ThreadGroup[] {
    const items = list(value, 'thread groups', (item) => fields(item, 'a thread group'));
    const made = new Map<number, ThreadGroup>();
    const make = (index: number, depth: number): ThreadGroup => {
      const known = made.get(index);
      if (known) return known;
      if (depth > items.length) damaged('a thread group is its own ancestor');
      const { tgid, parent, program: executed, actions, directory, status } = items[index];
      const above = orNull(parent, (item) =>
        make(integer(item, 'a thread group', 0, items.length - 1), depth + 1),
      );
      const group = new ThreadGroup(signed(tgid, 'a thread group'), above);
      group.program = orNull(executed, program);
      group.actions = new SignalActions(
        list(actions, 'actions', (item) =>
          pair(
            item,
            'an action',
            (signal) => integer(signal, 'a signal', 1, MAX_SIGNAL),
            (action) => {
              const { handler, flags, restorer, mask } = fields(action, 'an action');
              return {
                handler: toGva(finite(handler, 'a handler')),
                flags: integer(flags, 'flags'),
                restorer: toGva(finite(restorer, 'a restorer')),
                mask: big(mask, 'a mask'),
              };
            },
          ),
        ),
      );
      group.directory = orNull(directory, (item) => text(item, 'a directory'));
      group.status = orNull(status, (item) => signed(item, 'a status'));
      made.set(index, group);
      return group;
    };
    return items.map((_, index) => make(index, 0));
  }

  private task(value: unknown, tables: readonly FdTable[], groups: readonly ThreadGroup[]): void {
    const from = fields(value, 'a task');
    const { hardware, recorded } = this.core.vectors;
    const tid = signed(from.tid, 'a task');
    if (this.tasks.some((other) => other.tid === tid)) damaged('a task is there twice');
    const task = new Task(
      tid,
      integer(from.serial, 'a serial number'),
      at(this.spaces, 'an address space')(from.space),
      at(tables, 'a descriptor table')(from.fds),
      at(groups, 'a thread group')(from.group),
    );
    this.tasks.push(task);
    task.registers.set(words(from.registers, 'registers', REGISTER_WORDS));
    task.xstate = orNull(from.xstate, (item) => {
      const image = bytes(item, 'the vector state');
      if (image.length > MAX_XSTATE_BYTES) damaged('the vector state is too large');
      try {
        return convertImage(image, recorded, hardware);
      } catch (error) {
        if (!(error instanceof RevenantError)) throw error;
        return damaged('the vector state is of another layout');
      }
    });
    task.threadDescriptors = words(from.threadDescriptors, 'descriptors', DESCRIPTOR_WORDS);
    task.name = text(from.name, 'a name');
    task.threadLocals =
      orNull(from.threadLocals, (item) => this.core.memory.copy(this.pageOf(item))) ?? (0 as Gpa);
    this.areas(task, from);
    task.entered = boolean(from.entered, 'a state');
    task.skipNextExecution = boolean(from.skipNextExecution, 'a state');
    task.dying = boolean(from.dying, 'a state');
    task.syscall = signed(from.syscall, 'a system call');
    task.syscallSince = finite(from.syscallSince, 'a time');
    task.stopped = boolean(from.stopped, 'a state');
    task.signalMask = big(from.signalMask, 'a mask');
    task.clearTid = toGva(finite(from.clearTid, 'an address'));
    task.robustList = toGva(finite(from.robustList, 'an address'));
    task.recTicks = integer(from.recTicks, 'ticks', -1);
    task.ticks = integer(from.ticks, 'ticks', -1);
  }

  private areas(task: Task, from: Readonly<Record<string, unknown>>): void {
    const place = (item: unknown): Gva => address(item, 'an area');
    [task.scratchStart, task.scratchEnd] = pair(from.scratch, 'the scratch area', place, place);
    [task.syscallbuf, task.syscallbufSize] = pair(from.syscallbuf, 'the buffer', place, (item) =>
      integer(item, 'the buffer', 0, USER_END),
    );
    const preload = fields(from.preload, 'the preload library');
    task.preload = {
      globals: place(preload.globals),
      breakpointInstruction: place(preload.breakpointInstruction),
      syscallHook: place(preload.syscallHook),
    };
    task.rseq = orNull(from.rseq, (item) => {
      const { pointer, signature } = fields(item, 'a registration');
      return { pointer: place(pointer), signature: integer(signature, 'a signature', -INT32, 2 ** 32) };
    });
    task.clonedData = orNull(from.clonedData, (item) => {
      const { name, offset } = fields(item, 'cloned data');
      return { source: this.files.auxiliary(text(name, 'a name')), offset: integer(offset, 'an offset') };
    });
    const { pointer, size, flags } = fields(from.altStack, 'a signal stack');
    task.altStack = {
      pointer: toGva(finite(pointer, 'a signal stack')),
      size: finite(size, 'a signal stack'),
      flags: integer(flags, 'flags', -INT32, 2 ** 32),
    };
  }
}

/**
 * @param pages each with a reference of the caller
 * @throws Damaged, RevenantError; then nothing is leaked
 */
export function decodeCheckpoint(core: ReplayCore, document: unknown, pages: readonly Gpa[]): Checkpoint {
  const decoder = new Decoder(core, new TraceFiles(core), pages);
  try {
    return decoder.checkpoint(document);
  } catch (error) {
    decoder.discard();
    throw error;
  }
}
