import { PAGE_SIZE, USER_END, hex, gva, offsetBy } from '../../base/address.js';
import { RevenantError, invariant } from '../../base/errors.js';
import { Reg, getUnsigned, setSigned } from '../../base/registers.js';
import { SharedObject } from '../../mm/backing.js';
import { Prot, type MappedFile, type Vma } from '../../mm/vma.js';
import type { AddressSpace } from '../../mm/address-space.js';
import { FdTable } from '../../task/fd-table.js';
import { NO_ALT_STACK } from '../../task/signal-state.js';
import { NO_DESCRIPTORS, Task, ThreadGroup } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { MMapRecord, TaskEventRecord } from '../../trace/records.js';
import type { ReplayCore } from '../state/core.js';
import { mainFileOf, readAuxv } from './auxv.js';
import {
  LIBRRPAGE,
  REPLAY_PAGE_OFFSET,
  RR_PAGE,
  THREAD_LOCALS,
  THREAD_LOCALS_NAME,
  ThreadLocals,
} from '../../guest/rr-abi.js';

type ExecEvent = Extract<TaskEventRecord, { kind: 'exec' }>;

/** Bytes of a task name (TASK_COMM_LEN - 1). */
const NAME_LENGTH = 15;

/**
 * The exit of a successful execve: a new address space from the frame's mapping records and memory
 * writes, registers from the frame (rr-traces.md 4.2). The first one of a trace makes the first task.
 */
export function performExec(core: ReplayCore, frame: TraceFrame): Task {
  const event = takeExecEvent(core, frame);
  const task = taskForExec(core, frame);
  leaveOldProgram(core, task);
  mapProgram(core, frame, task);
  core.applyMemWrites(frame, task);
  core.loadRegisters(task, frame);
  setSigned(core.registers(task), Reg.fs_base, 0);
  setSigned(core.registers(task), Reg.gs_base, 0);
  if (frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
  if (frame.extra.kind === 'execFdsToClose') for (const fd of frame.extra.fds) task.fds.close(fd);
  task.fds.closeUnframedForExec();
  enterProgram(core, task, event);
  task.name = event.fileName.slice(event.fileName.lastIndexOf('/') + 1).slice(0, NAME_LENGTH);
  core.log.debug({ frame: frame.frameTime, tid: task.tid, program: event.fileName }, 'exec');
  return task;
}

/** Resets the state of a process that a new program does not inherit. */
function enterProgram(core: ReplayCore, task: Task, event: ExecEvent): void {
  const registers = core.registers(task);
  const auxv = readAuxv(core, task);
  task.group.program = {
    path: event.fileName,
    arguments: event.cmdLine,
    initialStack: gva(getUnsigned(registers, Reg.rsp)),
    auxv,
    file: mainFileOf(task, auxv) ?? event.fileName,
  };
  task.group.actions.resetForExec();
  task.altStack = NO_ALT_STACK;
  task.clearTid = task.robustList = gva(0);
  task.syscall = -1;
}

/** Synthetic clone and exit events of an exec by a non-leader precede the exec event (rr-traces.md 9.3). */
function takeExecEvent(core: ReplayCore, frame: TraceFrame): ExecEvent {
  for (;;) {
    const event = core.trace.nextTaskEvent(frame.frameTime);
    if (!event) {
      throw new RevenantError(
        'E_TRACE_CORRUPT',
        `Frame ${frame.frameTime}: the exec of task ${frame.tid} has no record in the \`tasks\` stream.`,
        'The `tasks` stream does not belong to these events or is cut short.',
      );
    }
    if (event.kind === 'exec') return event;
  }
}

function taskForExec(core: ReplayCore, frame: TraceFrame): Task {
  const existing = core.tasks.get(frame.tid);
  if (existing) return existing;
  if (core.tasks.size === 0 && core.taskCount === 0) return makeFirstTask(core, frame);
  return renameForExec(core, frame);
}

function makeFirstTask(core: ReplayCore, frame: TraceFrame): Task {
  const group = new ThreadGroup(frame.tid, null);
  const task = new Task(frame.tid, core.nextSerial++, core.newAddressSpace(), new FdTable(), group);
  core.tasks.set(task.tid, task);
  core.taskCount++;
  core.firstTid = task.tid;
  return task;
}

/** exec by a thread that is not the leader: the only task left of the group takes the leader's tid. */
function renameForExec(core: ReplayCore, frame: TraceFrame): Task {
  for (const task of core.tasks.values()) {
    if (task.group.tgid !== frame.tid || task.group.tasks.size !== 1) continue;
    core.tasks.delete(task.tid);
    task.tid = frame.tid;
    task.serial = core.nextSerial++;
    core.tasks.set(task.tid, task);
    return task;
  }
  throw new RevenantError(
    'E_TRACE_CORRUPT',
    `Frame ${frame.frameTime}: exec of task ${frame.tid}, which does not exist and is not a thread group's leader.`,
  );
}

function leaveOldProgram(core: ReplayCore, task: Task): void {
  if (core.current === task) core.current = null;
  core.releaseSpace(task);
  task.space = core.newAddressSpace();
  task.space.users++;
  const { fds } = task;
  task.fds = fds.clone();
  task.fds.users++;
  if (--fds.users === 0) fds.files.leave();
  if (task.threadLocals !== 0) core.memory.release(task.threadLocals);
  task.threadLocals = core.memory.allocate();
  task.scratchStart = task.scratchEnd = task.syscallbuf = gva(0);
  task.syscallbufSize = 0;
  task.preload = { globals: gva(0), breakpointInstruction: gva(0), syscallHook: gva(0) };
  task.rseq = null;
  task.xstate = null;
  task.threadDescriptors = NO_DESCRIPTORS;
  task.clonedData = null;
}

function mapProgram(core: ReplayCore, frame: TraceFrame, task: Task): void {
  const records = takeExecMappings(core, frame);
  const scratch = records.pop();
  if (!scratch || records.length === 0) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: the exec has no stack or scratch mapping.`,
    );
  }
  mapThreadLocals(task.space, core);
  for (const record of records) mapExecRecord(core, task.space, record);
  mapRrPage(core, task.space, records, frame);
  mapScratch(core, task, scratch);
}

/** The frame's records but those of the pages that we make ourselves. */
function takeExecMappings(core: ReplayCore, frame: TraceFrame): MMapRecord[] {
  const records: MMapRecord[] = [];
  for (;;) {
    const record = core.trace.nextMapping(frame.frameTime);
    if (!record) return records;
    if (record.start !== RR_PAGE && record.start !== THREAD_LOCALS && record.start < record.end)
      records.push(record);
  }
}

function mapExecRecord(core: ReplayCore, space: AddressSpace, record: MMapRecord): void {
  space.map({
    ...rangeOf(record),
    prot: record.prot & 7,
    backing: record.source.kind === 'file' ? core.fileOf(record) : null,
    offset: record.source.kind === 'file' ? record.fileOffsetBytes : 0,
    name: record.fsname,
    file: mappedFile(record),
  });
}

/** The page that replay executes instead of the recorded one comes from the trace's own librrpage.so (rr-traces.md 4.3). */
function mapRrPage(core: ReplayCore, space: AddressSpace, records: MMapRecord[], frame: TraceFrame): void {
  const library = records.find((record) => record.start === LIBRRPAGE && record.source.kind === 'file');
  if (!library) {
    throw new RevenantError(
      'E_UNSUPPORTED',
      `Frame ${frame.frameTime}: the exec maps no librrpage.so at ${hex(LIBRRPAGE)}.`,
      'Traces of rr before 5.6 have another layout of pages; record again with a newer rr.',
    );
  }
  space.map({
    start: RR_PAGE,
    end: offsetBy(RR_PAGE, PAGE_SIZE),
    prot: Prot.read | Prot.exec,
    backing: core.fileOf(library),
    offset: REPLAY_PAGE_OFFSET,
    name: '[rr page]',
    file: null,
  });
}

/** Marked as shared so that its entry stays writable: its page is selected per task by `pinPage`. */
export function mapThreadLocals(space: AddressSpace, core: ReplayCore): void {
  space.map({
    start: THREAD_LOCALS,
    end: offsetBy(THREAD_LOCALS, PAGE_SIZE),
    prot: Prot.read | Prot.write,
    backing: new SharedObject(core.memory, THREAD_LOCALS_NAME),
    offset: 0,
    name: THREAD_LOCALS_NAME,
    file: null,
  });
}

/** The recorder's scratch area of a task; its end is the task's alternate stack in the preload library. */
export function mapScratch(core: ReplayCore, task: Task, record: MMapRecord): void {
  task.space.map({
    ...rangeOf(record),
    prot: Prot.read | Prot.write | Prot.exec,
    backing: null,
    offset: 0,
    name: '[scratch]',
    file: null,
  });
  task.scratchStart = gva(record.start);
  task.scratchEnd = gva(record.end);
  core.threadLocals(task).setBigUint64(ThreadLocals.altStackPointer, BigInt(record.end), true);
}

/** The record's range, checked. */
export function rangeOf(record: MMapRecord): Pick<Vma, 'start' | 'end'> {
  invariant(
    record.start >= 0 && record.end <= USER_END && record.start <= record.end,
    'mapping record out of range',
  );
  return { start: gva(record.start), end: gva(record.end) };
}

/** What symbols need about the file of a mapping; null for memory without one. */
export function mappedFile(record: MMapRecord): MappedFile | null {
  if (!record.fsname.startsWith('/')) return null;
  return {
    path: record.fsname,
    device: record.device,
    inode: record.inode,
    offset: record.fileOffsetBytes,
  };
}
