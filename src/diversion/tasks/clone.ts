import { PAGE_SIZE, offsetBy, gva } from '../../engine/base/address.js';
import { CloneFlag } from '../../engine/base/linux.js';
import { Reg, setSigned } from '../../engine/base/registers.js';
import { SharedObject } from '../../engine/mm/backing.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { Prot } from '../../engine/mm/vma.js';
import { THREAD_LOCALS, ThreadLocals } from '../../engine/guest/rr-abi.js';
import { FdTable } from '../../engine/task/fd-table.js';
import { NO_ALT_STACK, SignalActions } from '../../engine/task/signal-state.js';
import { Task, ThreadGroup } from '../../engine/task/task.js';
import { E, fail } from '../base/errno.js';
import type { Kernel } from '../kernel/kernel.js';
import { findGap } from '../base/placement.js';
import { Process, Thread, type Wait } from '../kernel/process.js';

export interface CloneRequest {
  /** CLONE_*, without the signal. */
  readonly flags: number;
  readonly clearHandlers: boolean;
  readonly exitSignal: number;
  /** The child's rsp; 0: the parent's. */
  readonly stack: number;
  readonly parentTid: number;
  readonly childTid: number;
  readonly tls: number;
}

/** A separate stack for rr's library, which is still part of the program. */
const LIBRARY_STACK = 64 << 10;

/** Makes a task as clone(2) does. The result of the call, or the wait of vfork. */
export function cloneThread(kernel: Kernel, parent: Thread, request: CloneRequest): number | Wait {
  const { flags } = request;
  if (
    flags & CloneFlag.thread &&
    (flags & (CloneFlag.vm | CloneFlag.sighand)) !== (CloneFlag.vm | CloneFlag.sighand)
  )
    fail(E.EINVAL);
  const tid = kernel.newTid();
  const isThread = (flags & CloneFlag.thread) !== 0;
  const group = isThread ? parent.task.group : new ThreadGroup(tid, parent.task.group);
  const space = flags & CloneFlag.vm ? parent.task.space : forkSpace(kernel, parent.task.space);
  const task = new Task(tid, kernel.core.nextSerial++, space, new FdTable(), group);
  kernel.core.tasks.set(tid, task);
  const process = isThread ? parent.process : forkProcess(parent.process, tid, request);
  const child = new Thread(task, process);
  kernel.threads.set(tid, child);
  kernel.processes.set(process.pid, process);
  try {
    inherit(kernel, parent, child, request);
  } catch (error) {
    forget(kernel, child, isThread);
    throw error;
  }
  storeTids(parent, child, request);
  const vfork = (flags & CloneFlag.vfork) !== 0;
  kernel.event = { kind: isThread ? 'clone' : vfork ? 'vfork' : 'fork', tid: parent.tid, child: tid };
  return vfork ? waitForRelease(child) : tid;
}

/** There was no room for it. */
function forget(kernel: Kernel, child: Thread, isThread: boolean): void {
  const { process } = child;
  kernel.threads.delete(child.tid);
  process.threads.delete(child);
  if (!isThread) {
    process.parent?.children.delete(process);
    kernel.processes.delete(process.pid);
    process.descriptors.leave();
  }
  kernel.core.removeTask(child.task);
}

/** The parent of a vfork waits until its child execs or exits. */
export function waitForRelease(child: Thread): Wait {
  const { tid } = child;
  let released = false;
  child.releaseParent = () => (released = true);
  return { poll: () => (released ? tid : null), interrupted: 'never', what: `its child ${tid} by vfork` };
}

function forkProcess(
  parent: Process,
  pid: number,
  { flags, exitSignal, clearHandlers }: CloneRequest,
): Process {
  let { descriptors } = parent;
  if (flags & CloneFlag.files) descriptors.users++;
  else descriptors = descriptors.clone();
  const place = flags & CloneFlag.fs ? parent.place : { ...parent.place };
  let actions = flags & CloneFlag.sighand ? parent.actions : parent.actions.clone();
  if (clearHandlers) actions = new SignalActions();
  const process = new Process(pid, parent, descriptors, place, actions, parent.credentials, parent.program);
  process.exitSignal = exitSignal;
  return process;
}

/** The page of the recorder's library is one for each task. */
function forkSpace(kernel: Kernel, parent: AddressSpace): AddressSpace {
  const space = parent.fork();
  const end = offsetBy(THREAD_LOCALS, PAGE_SIZE);
  if (!parent.vmas.find(THREAD_LOCALS)) return space;
  space.map({
    start: THREAD_LOCALS,
    end,
    prot: Prot.read | Prot.write,
    backing: new SharedObject(kernel.core.memory, '[preload_thread_locals]'),
    offset: 0,
    name: '[preload_thread_locals]',
    file: null,
  });
  return space;
}

function inherit(kernel: Kernel, parent: Thread, child: Thread, request: CloneRequest): void {
  const { core } = kernel;
  const { task } = child;
  const from = parent.task;
  const { flags } = request;
  task.registers.set(core.registers(from));
  setSigned(task.registers, Reg.rax, 0);
  if (request.stack !== 0) setSigned(task.registers, Reg.rsp, request.stack);
  if (flags & CloneFlag.settls) setSigned(task.registers, Reg.fs_base, request.tls);
  task.xstate = core.vectorState(from);
  task.name = from.name;
  task.preload = from.preload;
  task.threadDescriptors = from.threadDescriptors;
  child.left.push(...parent.left.filter(({ wait }) => wait === null));
  task.signalMask = parent.savedMask ?? from.signalMask;
  const sharesStack = !(flags & CloneFlag.vm) || (flags & CloneFlag.vfork) !== 0;
  task.altStack = sharesStack ? from.altStack : NO_ALT_STACK;
  task.rseq = flags & CloneFlag.vm ? null : from.rseq;
  if (flags & CloneFlag.childClearTid) task.clearTid = gva(request.childTid);
  if (from.threadLocals === 0) return;
  task.threadLocals = core.memory.allocate();
  giveLibraryStack(kernel, from, task);
}

function giveLibraryStack({ core }: Kernel, from: Task, task: Task): void {
  const before = core.threadLocals(from);
  const locals = core.threadLocals(task);
  for (const field of [ThreadLocals.altStackNestingLevel, ThreadLocals.savedFlags])
    locals.setUint32(field, before.getUint32(field, true), true);
  const start = findGap(task.space, LIBRARY_STACK) ?? fail(E.ENOMEM);
  const end = offsetBy(start, LIBRARY_STACK);
  task.space.map({ start, end, prot: 7, backing: null, offset: 0, name: '[scratch]', file: null });
  locals.setBigUint64(ThreadLocals.altStackPointer, BigInt(end), true);
}

function storeTids(parent: Thread, child: Thread, request: CloneRequest): void {
  const tid = Uint8Array.from(new Uint8Array(new Int32Array([child.tid]).buffer));
  // As in the kernel, a fault here is ignored.
  if (request.flags & CloneFlag.parentSetTid) parent.task.space.write(gva(request.parentTid), tid);
  if (request.flags & CloneFlag.childSetTid) child.task.space.write(gva(request.childTid), tid);
}
