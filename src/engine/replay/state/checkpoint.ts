import type { Gpa } from '../../base/address.js';
import type { RegisterWords } from '../../base/registers.js';
import type { SharedObject } from '../../mm/backing.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { FdTable } from '../../task/fd-table.js';
import type { RecordedWorld } from '../../task/recorded-files.js';
import { Task, type ThreadGroup } from '../../task/task.js';
import type { TracePosition } from '../../trace/reader.js';
import type { ReplayCore } from './core.js';
import type { GuestCore } from '../../guest/guest-core.js';
import type { Action, Goal } from '../plan/step.js';

/** What of the core is not tasks and memory. */
interface CoreState {
  nextSerial: number;
  taskCount: number;
  exitStatus: number | null;
  firstTid: number;
  recordedSec: number;
}

/** The frame towards which tracee code was running. */
export interface PlannedStep {
  readonly goal: Goal;
  readonly action: Action;
  readonly address: number;
  readonly signal: number;
}

/**
 * A state of a replay, between two frames or within an interval: plain data, and pages shared
 * copy-on-write with the running replay. It can be restored any number of times.
 */
export interface Checkpoint extends TaskCopies {
  /** Before the frame of `inside`, if there is one. */
  readonly position: TracePosition;
  /** Null between two frames. */
  readonly inside: PlannedStep | null;
  /** FrameTime of the last frame that was replayed. */
  readonly frameTime: number;
  readonly frames: number;
  readonly previousTid: number;
  /** Bytes that the program had written to its standard output and error, in that order. */
  readonly written: readonly [number, number];
  readonly core: CoreState;
  /** Made by another session, which may have diverged undetected. */
  readonly isFromFile?: true;
}

export type CheckpointPlace = Pick<
  Checkpoint,
  'position' | 'inside' | 'frameTime' | 'frames' | 'previousTid' | 'written'
>;

/** Copies of objects that tasks share, one each. */
class Copier {
  readonly spaces = new Map<AddressSpace, AddressSpace>();
  readonly objects = new Map<SharedObject, SharedObject>();
  private readonly tables = new Map<FdTable, FdTable>();
  private readonly worlds = new Map<RecordedWorld, RecordedWorld>();
  private readonly groups = new Map<ThreadGroup, ThreadGroup>();

  space(space: AddressSpace): AddressSpace {
    return once(this.spaces, space, () => space.snapshot((object) => this.object(object)));
  }

  object(object: SharedObject): SharedObject {
    return once(this.objects, object, () => object.snapshot());
  }

  fds(table: FdTable): FdTable {
    const { world } = table.files;
    const copy = once(this.worlds, world, () => world.copy());
    return once(this.tables, table, () => table.copyInto(copy));
  }

  group(group: ThreadGroup): ThreadGroup {
    return once(this.groups, group, () => group.copy(group.parent && this.group(group.parent)));
  }
}

function once<T>(map: Map<T, T>, key: T, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/** Tasks with everything that they run on. */
export interface TaskCopies {
  readonly tasks: Task[];
  readonly sharedObjects: Map<string, SharedObject>;
}

/** Costs an exit for the vector state, and later a page fault for each page written. */
export function takeCheckpoint(core: ReplayCore, place: CheckpointPlace): Checkpoint {
  const { nextSerial, taskCount, exitStatus, firstTid, recordedSec } = core;
  return { ...place, core: { nextSerial, taskCount, exitStatus, firstTid, recordedSec }, ...copyTasks(core) };
}

/** Copies of all tasks, of their address spaces (copy-on-write) and of shared objects; sharing is preserved. */
export function copyTasks(core: GuestCore): TaskCopies {
  const copier = new Copier();
  const tasks = [...core.tasks.values()].map((task) =>
    copyTask(core, copier, task, core.registers(task), core.current === task),
  );
  // Snapshots drop the entries of shared mappings, that of the thread locals among them.
  if (core.current) core.pinThreadLocals(core.current);
  return { tasks, sharedObjects: copyObjects(core.sharedObjects, copier) };
}

function copyObjects(objects: Map<string, SharedObject>, copier: Copier): Map<string, SharedObject> {
  const copies = new Map<string, SharedObject>();
  for (const [key, object] of objects) {
    const copy = copier.objects.get(object);
    if (copy) copies.set(key, copy);
  }
  return copies;
}

/** @param live its vector state is the vCPU's */
function copyTask(
  core: GuestCore,
  copier: Copier,
  task: Task,
  registers: RegisterWords,
  live: boolean,
): Task {
  const copy = new Task(
    task.tid,
    task.serial,
    copier.space(task.space),
    copier.fds(task.fds),
    copier.group(task.group),
  );
  copy.registers.set(registers);
  copy.xstate = live ? core.vectors.save(null) : (task.xstate?.slice() ?? null);
  copy.threadDescriptors = task.threadDescriptors;
  copy.name = task.name;
  if (task.threadLocals !== 0) copy.threadLocals = core.memory.copy(task.threadLocals);
  copy.scratchStart = task.scratchStart;
  copy.scratchEnd = task.scratchEnd;
  copy.syscallbuf = task.syscallbuf;
  copy.syscallbufSize = task.syscallbufSize;
  copy.preload = { ...task.preload };
  copy.rseq = task.rseq && { ...task.rseq };
  copy.clonedData = task.clonedData && { ...task.clonedData };
  copy.entered = task.entered;
  copy.syscall = task.syscall;
  copy.syscallSince = task.syscallSince;
  copy.stopped = task.stopped;
  copy.signalMask = task.signalMask;
  copy.altStack = task.altStack;
  copy.clearTid = task.clearTid;
  copy.robustList = task.robustList;
  copy.skipNextExecution = task.skipNextExecution;
  copy.dying = task.dying;
  copy.recTicks = task.recTicks;
  copy.ticks = task.ticks;
  return copy;
}

/** Makes the core what it was. */
export function restoreCheckpoint(core: ReplayCore, checkpoint: Checkpoint): void {
  core.current = null;
  core.machine.context.dropRequests();
  core.leaveSpace();
  for (const task of [...core.tasks.values()]) core.removeTask(task);
  const copier = new Copier();
  for (const task of checkpoint.tasks)
    core.tasks.set(task.tid, copyTask(core, copier, task, task.registers, false));
  core.sharedObjects.clear();
  for (const [key, object] of copyObjects(checkpoint.sharedObjects, copier))
    core.sharedObjects.set(key, object);
  Object.assign(core, checkpoint.core);
  core.trace.restore(checkpoint.position);
}

/** Frees its pages. */
export function dropCheckpoint(core: ReplayCore, checkpoint: Checkpoint): void {
  for (const task of checkpoint.tasks) {
    core.releaseSpace(task);
    if (task.threadLocals !== 0) core.memory.release(task.threadLocals);
    task.threadLocals = 0 as Gpa;
  }
}
