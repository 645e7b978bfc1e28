import { gva, type Gva } from '../../engine/base/address.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Process, Thread } from '../kernel/process.js';
import { childSignal } from '../kernel/pending.js';
import { send } from '../signals/send.js';
import { SIG_IGN, SigAction } from '../../engine/task/signal-state.js';

const FUTEX_OWNER_DIED = 0x4000_0000;
const FUTEX_WAITERS = 0x8000_0000;
const FUTEX_TID_MASK = 0x3fff_ffff;
/** As the kernel: a list may be circular or hostile. */
const ROBUST_LIST_LIMIT = 2048;
const CLD_EXITED = 1;
const CLD_KILLED = 2;
const CLD_DUMPED = 3;
const CORE_DUMPED = 0x80;
const INIT = 1;

/**
 * Ends all threads of a process.
 * @param status as from wait(2)
 */
export function exitProcess(kernel: Kernel, process: Process, status: number): void {
  if (process.exiting === null) process.exiting = status;
  for (const thread of [...process.threads]) exitThread(kernel, thread, status);
}

/** One thread ends; its process with its last one. */
export function exitThread(kernel: Kernel, thread: Thread, status: number): void {
  if (thread.dead) return;
  thread.dead = true;
  const { process, task } = thread;
  thread.wait?.end?.();
  thread.wait = null;
  walkRobustList(kernel, thread);
  if (task.clearTid !== 0 && task.space.users > 1) {
    task.space.write(task.clearTid, new Uint8Array(4));
    kernel.futexes.wake(task.space, task.clearTid, 1);
  }
  thread.releaseParent?.();
  thread.releaseParent = null;
  process.threads.delete(thread);
  kernel.threads.delete(thread.tid);
  if (process.threads.size === 0) endProcess(kernel, process, process.exiting ?? status);
  // The last one of a process can still be inspected.
  if (process.threads.size === 0) kernel.departed.push(thread);
  else kernel.core.removeTask(task);
}

function endProcess(kernel: Kernel, process: Process, status: number): void {
  process.status = status;
  process.descriptors.leave();
  process.alarm.next = 0n;
  for (let index = kernel.timers.length - 1; index >= 0; index--)
    if (kernel.timers[index].process === process) kernel.timers.splice(index, 1);
  const init = kernel.processes.get(INIT) ?? null;
  for (const child of process.children) {
    child.parent = init;
    init?.children.add(child);
    if (!init && child.status !== null) kernel.processes.delete(child.pid);
  }
  process.children.clear();
  tellParent(kernel, process, status);
}

function tellParent(kernel: Kernel, process: Process, status: number): void {
  const { parent } = process;
  if (!parent || parent.status !== null) return void kernel.processes.delete(process.pid);
  const { handler, flags } = parent.actions.of(process.exitSignal);
  if (process.exitSignal === 17 && (handler === SIG_IGN || flags & SigAction.noChildWait)) {
    parent.children.delete(process);
    kernel.processes.delete(process.pid);
  }
  if (process.exitSignal === 0) return;
  const signal = status & 0x7f;
  const code = signal === 0 ? CLD_EXITED : status & CORE_DUMPED ? CLD_DUMPED : CLD_KILLED;
  const value = signal === 0 ? status >> 8 : signal;
  const info = childSignal(process.exitSignal, code, process.pid, process.credentials.uid, value);
  send(kernel, parent, info, null);
}

/** Futexes that the thread holds are marked as abandoned and one waiter of each is woken (kernel/futex/core.c). */
function walkRobustList(kernel: Kernel, thread: Thread): void {
  const { task } = thread;
  const head = task.robustList;
  task.robustList = gva(0);
  if (head === 0) return;
  // Signed: the offset from an entry to its futex may be negative.
  const word = (at: number): number => {
    const bytes = new Uint8Array(8);
    return task.space.read(gva(at), bytes) === 8
      ? Number(new DataView(bytes.buffer).getBigInt64(0, true))
      : 0;
  };
  const offset = word(head + 8);
  const pending = word(head + 16);
  let entry = word(head);
  for (let count = 0; entry !== head && entry !== 0 && count < ROBUST_LIST_LIMIT; count++) {
    // Bit 0 marks a priority-inheriting one.
    const at = entry - (entry % 2);
    if (at !== pending) ownerDied(kernel, thread, gva(at + offset));
    entry = word(at);
  }
  if (pending !== 0) ownerDied(kernel, thread, gva(pending - (pending % 2) + offset));
}

function ownerDied(kernel: Kernel, thread: Thread, at: Gva): void {
  const { space } = thread.task;
  const bytes = new Uint8Array(4);
  if (at % 4 !== 0 || space.read(at, bytes) < 4) return;
  const view = new DataView(bytes.buffer);
  const value = view.getUint32(0, true);
  if ((value & FUTEX_TID_MASK) !== thread.tid) return;
  view.setUint32(0, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0, true);
  space.write(at, bytes);
  kernel.futexes.wake(space, at, 1);
}
