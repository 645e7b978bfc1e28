import { wordsToGva, offsetBy, gva } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { ArchPrctl, CloneFlag, PR_SET_NAME, Sys } from '../../base/linux.js';
import { Reg, getUnsigned, setSigned, type RegisterWords } from '../../base/registers.js';
import { Task, ThreadGroup } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { TaskEventRecord } from '../../trace/records.js';
import type { ReplayCore } from '../state/core.js';
import { mapScratch, mapThreadLocals } from '../program/exec.js';
import { THREAD_LOCALS, ThreadLocals } from '../../guest/rr-abi.js';
import { unmapArea } from './memory.js';
import { nameOf } from '../../base/names.js';

type CloneEvent = Extract<TaskEventRecord, { kind: 'clone' }>;
const NAME_BYTES = 16;

/**
 * clone, fork and vfork create their task at the entering frame (rr-traces.md 6.1). The frame's
 * memory writes are applied here, too, since the child's scratch area follows them.
 */
export function cloneTask(core: ReplayCore, parent: Task, frame: TraceFrame): void {
  const event = takeCloneEvent(core, parent, frame);
  const vfork = frame.syscallNumber === Sys.vfork;
  const sharesSpace = vfork || (event.flags & CloneFlag.vm) !== 0;
  if (core.tasks.has(event.tid)) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: task ${parent.tid} clones task ${event.tid}, which exists already.`,
    );
  }
  const space = sharesSpace ? parent.space : forkSpace(core, parent);
  const fds = event.flags & CloneFlag.files ? parent.fds : parent.fds.clone();
  const group = event.flags & CloneFlag.thread ? parent.group : new ThreadGroup(event.tid, parent.group);
  const child = new Task(event.tid, core.nextSerial++, space, fds, group);
  core.tasks.set(child.tid, child);
  core.taskCount++;
  inheritState(core, parent, child, frame, event, sharesSpace);
  if (!sharesSpace && core.header.preloadThreadLocalsRecorded) takeThreadLocalsRecord(core, frame);
  core.applyMemWrites(frame, parent);
  mapScratch(core, child, core.requireMapping(frame, 'clone'));
}

function takeCloneEvent(core: ReplayCore, parent: Task, frame: TraceFrame): CloneEvent {
  const event = core.trace.nextTaskEvent(frame.frameTime);
  if (event?.kind === 'clone' && event.parentTid === parent.tid) return event;
  throw new RevenantError(
    'E_TRACE_CORRUPT',
    `Frame ${frame.frameTime}: the \`tasks\` stream has no clone record by task ${parent.tid} here.`,
  );
}

/** The caller's own scratch area and buffer stay: the child may run on that stack. Those of other tasks go. */
function forkSpace(core: ReplayCore, parent: Task): Task['space'] {
  const space = parent.space.fork();
  for (const other of core.tasks.values()) {
    if (other === parent || other.space !== parent.space) continue;
    unmapArea(space, other.scratchStart, other.scratchEnd);
    unmapArea(space, other.syscallbuf, offsetBy(other.syscallbuf, other.syscallbufSize));
  }
  space.unmap(THREAD_LOCALS, offsetBy(THREAD_LOCALS, 4096));
  mapThreadLocals(space, core);
  return space;
}

function inheritState(
  core: ReplayCore,
  parent: Task,
  child: Task,
  frame: TraceFrame,
  event: CloneEvent,
  sharesSpace: boolean,
): void {
  child.registers.set(core.registers(parent));
  setSigned(child.registers, Reg.rax, 0);
  if (frame.syscallNumber === Sys.clone) {
    if (getUnsigned(child.registers, Reg.rsi) !== 0) copyRegister(child.registers, Reg.rsp, Reg.rsi);
    if (event.flags & CloneFlag.settls) copyRegister(child.registers, Reg.fs_base, Reg.r8);
  }
  child.xstate = parent === core.current ? core.vectors.save(null) : (parent.xstate?.slice() ?? null);
  child.signalMask = parent.signalMask;
  if (!sharesSpace || frame.syscallNumber === Sys.vfork || event.flags & CloneFlag.vfork)
    child.altStack = parent.altStack;
  if (frame.syscallNumber === Sys.clone && event.flags & CloneFlag.childClearTid)
    child.clearTid = gva(getUnsigned(child.registers, Reg.r10));
  if (child.group !== parent.group) {
    child.group.actions = parent.group.actions.clone();
    child.group.program = parent.group.program;
    child.group.directory = parent.group.directory;
  }
  child.threadDescriptors = parent.threadDescriptors;
  child.name = parent.name;
  child.preload = parent.preload;
  child.rseq = sharesSpace ? null : parent.rseq;
  child.threadLocals = core.memory.allocate();
  const from = core.threadLocals(parent);
  const to = core.threadLocals(child);
  for (const field of [ThreadLocals.altStackNestingLevel, ThreadLocals.savedFlags]) {
    to.setUint32(field, from.getUint32(field, true), true);
  }
}

function copyRegister(registers: RegisterWords, to: number, from: number): void {
  registers[2 * to] = registers[2 * from];
  registers[2 * to + 1] = registers[2 * from + 1];
}

function takeThreadLocalsRecord(core: ReplayCore, frame: TraceFrame): void {
  const record = core.requireMapping(frame, 'clone');
  if (record.start !== THREAD_LOCALS) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: the clone's first mapping record is at 0x${record.start.toString(16)}, not the thread-locals page.`,
    );
  }
}

/**
 * exit and, by the last task of a group, exit_group release the recorder's areas at entry
 * (rr-traces.md 6.1), since other tasks may reuse the addresses. Without other tasks the areas are
 * freed with the address space: a traced call runs on a stack in them, and at a program's end a
 * debugger still needs it for backtraces and calls.
 */
export function releaseTaskAreas(core: ReplayCore, task: Task): void {
  const { space } = task;
  if (![...core.tasks.values()].some((other) => other !== task && other.space === space)) return;
  unmapArea(task.space, task.scratchStart, task.scratchEnd);
  unmapArea(task.space, task.syscallbuf, offsetBy(task.syscallbuf, task.syscallbufSize));
  task.scratchStart = task.scratchEnd = task.syscallbuf = gva(0);
  task.syscallbufSize = 0;
}

export function archPrctl(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const registers = core.registers(task);
  switch (frame.registers[2 * Reg.rdi]) {
    case ArchPrctl.setFs:
      copyRegister(registers, Reg.fs_base, Reg.rsi);
      break;
    case ArchPrctl.setGs:
      copyRegister(registers, Reg.gs_base, Reg.rsi);
      break;
    default:
      return;
  }
  core.basesChanged(task);
}

export function prctl(_core: ReplayCore, task: Task, frame: TraceFrame): void {
  takeName(task, frame.registers);
}

/** prctl with the arguments in `registers`: PR_SET_NAME renames the task, nothing else acts here. */
export function takeName(task: Task, registers: RegisterWords): void {
  if (registers[2 * Reg.rdi] !== PR_SET_NAME) return;
  const bytes = new Uint8Array(NAME_BYTES);
  const count = task.space.read(gva(getUnsigned(registers, Reg.rsi)), bytes);
  const end = bytes.subarray(0, count).indexOf(0);
  task.name = nameOf(bytes.subarray(0, end < 0 ? count : end));
}

export function rseq(_core: ReplayCore, task: Task, frame: TraceFrame): void {
  const registers = frame.registers;
  const unregister = (registers[2 * Reg.rdx] & 1) !== 0;
  const pointer = wordsToGva(registers[2 * Reg.rdi], registers[2 * Reg.rdi + 1]);
  task.rseq = unregister || pointer < 0 ? null : { pointer, signature: registers[2 * Reg.r10] };
}

/** CLONE_FILES: the descriptor table stops being shared. */
export function unshare(_core: ReplayCore, task: Task, frame: TraceFrame): void {
  if ((frame.registers[2 * Reg.rdi] & CloneFlag.files) === 0 || task.fds.users === 1) return;
  task.fds.users--;
  task.fds = task.fds.clone();
  task.fds.users++;
}
