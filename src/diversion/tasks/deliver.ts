import { hex } from '../../engine/base/address.js';
import { Reg, getUnsigned, setSigned } from '../../engine/base/registers.js';
import { abortRestartableSequence } from '../../engine/guest/rseq.js';
import {
  DEFAULT_ACTION,
  NO_ALT_STACK,
  SIG_DFL,
  SIG_IGN,
  SigAction,
  UNBLOCKABLE,
  readAltStack,
  signalBit,
  type AltStack,
  type SignalAction,
} from '../../engine/task/signal-state.js';
import { convertImage } from '../../engine/x86/xstate-image.js';
import { E, Errno } from '../base/errno.js';
import type { Kernel } from '../kernel/kernel.js';
import { NO_FAULT, type Thread } from '../kernel/process.js';
import { exitProcess } from './exit.js';
import { cancelWait, takeUp } from './wait.js';
import {
  Frame,
  composeFrame,
  composeXstate,
  frameXstateBytes,
  isLoadable,
  parseXstate,
  placeFrame,
  restoreFrame,
} from '../signals/frame.js';
import { Code, Sig, defaultAction, faultSignal, type Signal } from '../kernel/pending.js';
import { isIgnored, sendFault } from '../signals/send.js';

/** SS_* */
const ON_STACK = 1;
const AUTO_DISARM = 1 << 31;
const CORE_DUMPED = 0x80;
const FLAGS_CLEARED = 0x1_0500;

/** The signal that the thread gets before it continues, removed from its queue; null: none. */
export function takeSignal(thread: Thread): Signal | null {
  const wanted = ~thread.task.signalMask | UNBLOCKABLE;
  return thread.pending.take(wanted) ?? thread.process.pending.take(wanted);
}

export function hasSignal(thread: Thread): boolean {
  const wanted = ~thread.task.signalMask | UNBLOCKABLE;
  return ((thread.pending.mask | thread.process.pending.mask) & wanted) !== 0n;
}

/** Whether it is reported to a debugger: ignored signals are not. */
export const matters = (thread: Thread, number: number): boolean => !isIgnored(thread.process, number);

/** Performs the signal's action; the thread may have exited afterwards. */
export function deliver(kernel: Kernel, thread: Thread, signal: Signal): void {
  const { process } = thread;
  const action = process.actions.of(signal.number);
  if (action.handler === SIG_IGN) return;
  if (action.handler !== SIG_DFL) return enterHandler(kernel, thread, signal, action);
  const effect = defaultAction(signal.number);
  // The call that it would have interrupted continues.
  if (effect === 'ignore') return;
  if (effect === 'stop') {
    for (const each of process.threads) each.stopped = true;
    return;
  }
  const rip = getUnsigned(kernel.core.registers(thread.task), Reg.rip);
  const { pid } = process;
  const fault = { trap: thread.fault.trap, address: hex(thread.fault.address) };
  kernel.log.info(
    { pid, tid: thread.tid, signal: signal.number, rip: hex(rip), ...fault },
    'killed by a signal',
  );
  exitProcess(kernel, process, signal.number | (effect === 'core' ? CORE_DUMPED : 0));
}

function enterHandler(kernel: Kernel, thread: Thread, signal: Signal, action: SignalAction): void {
  const { core } = kernel;
  const { task } = thread;
  cancelWait(kernel, thread, (action.flags & SigAction.restart) !== 0);
  abortRestartableSequence(core, task, 'signal');
  const registers = core.registers(task);
  const mask = thread.savedMask ?? task.signalMask;
  thread.savedMask = null;
  if (!pushFrame(kernel, thread, signal, action, mask)) {
    kernel.log.info({ tid: thread.tid, signal: signal.number }, 'no room for a signal frame');
    thread.process.actions.set(Sig.SEGV, DEFAULT_ACTION);
    return deliver(kernel, thread, faultSignal(Sig.SEGV, Code.kernel, 0n));
  }
  setSigned(registers, Reg.rdi, signal.number);
  setSigned(registers, Reg.rax, 0);
  setSigned(registers, Reg.rip, action.handler);
  registers[2 * Reg.eflags] &= ~FLAGS_CLEARED;
  thread.fault = NO_FAULT;
  let blocked = task.signalMask | action.mask;
  if (!(action.flags & SigAction.noDefer)) blocked |= signalBit(signal.number);
  task.signalMask = blocked & ~UNBLOCKABLE;
  if (action.flags & SigAction.resetHandler) thread.process.actions.set(signal.number, DEFAULT_ACTION);
  if (task.altStack.flags & AUTO_DISARM) task.altStack = NO_ALT_STACK;
}

export function isOnAltStack({ pointer, size }: AltStack, stackPointer: number): boolean {
  return size > 0 && stackPointer > pointer && stackPointer - pointer <= size;
}

function pushFrame(
  kernel: Kernel,
  thread: Thread,
  signal: Signal,
  action: SignalAction,
  mask: bigint,
): boolean {
  const { core } = kernel;
  const { layout } = kernel.facts;
  const { task } = thread;
  const registers = core.registers(task);
  const stackPointer = getUnsigned(registers, Reg.rsp);
  const { altStack } = task;
  const onStack = isOnAltStack(altStack, stackPointer) && !(altStack.flags & AUTO_DISARM);
  const enters = (action.flags & SigAction.onStack) !== 0 && altStack.size > 0 && !onStack;
  const place = placeFrame(enters ? altStack.pointer + altStack.size : stackPointer, enters, layout);
  // A frame on the alternate stack stays in it; one that begins there may not leave it either.
  if (place.frame < 0 || ((enters || onStack) && place.frame < altStack.pointer)) return false;
  const image = convertImage(core.vectorState(task), core.vectors.hardware, layout);
  const frame = composeFrame(
    {
      registers,
      mask,
      siginfo: signal.info,
      restorer: BigInt(action.restorer),
      altStack: { ...altStack, flags: (altStack.size === 0 ? 2 : onStack ? ON_STACK : 0) | altStack.flags },
      trap: thread.fault.trap,
      errorCode: thread.fault.errorCode,
      cr2: thread.fault.address,
    },
    place,
    layout,
  );
  try {
    const memory = kernel.memoryOf(thread);
    memory.write(place.xstate, composeXstate(image, layout));
    memory.write(place.frame, frame);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return false;
  }
  core.setVectors(task, null);
  setSigned(registers, Reg.rsp, place.frame);
  setSigned(registers, Reg.rsi, place.frame + Frame.siginfo);
  setSigned(registers, Reg.rdx, place.frame + Frame.ucontext);
  return true;
}

/** rt_sigreturn: restores everything from the frame, past whose return address rsp points. */
export function sigreturn(kernel: Kernel, thread: Thread): void {
  const { core } = kernel;
  const { layout } = kernel.facts;
  const { task } = thread;
  const registers = core.registers(task);
  const memory = kernel.memoryOf(thread);
  try {
    const bytes = memory.bytes(getUnsigned(registers, Reg.rsp), Frame.size - Frame.ucontext);
    const restored = restoreFrame(bytes, registers);
    task.signalMask = restored.mask & ~UNBLOCKABLE;
    task.altStack = readAltStack(restored.altStack);
    if (restored.fpstate === 0) core.setVectors(task, null);
    else {
      const area = memory.bytes(restored.fpstate, frameXstateBytes(layout));
      if (!isLoadable(area)) throw new Errno(E.EFAULT);
      core.setVectors(task, core.vectors.fromRecorded(parseXstate(area, layout)));
    }
    takeUp(kernel, thread);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    sendFault(kernel, thread, faultSignal(Sig.SEGV, Code.kernel, 0n));
  }
}
