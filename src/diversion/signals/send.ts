import { DEFAULT_ACTION, SIG_DFL, SIG_IGN, signalBit } from '../../engine/task/signal-state.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Process, Thread } from '../kernel/process.js';
import { Sig, defaultAction, type Signal } from '../kernel/pending.js';

/** Sends a signal to a process, or to one of its threads. Ignored ones are not kept. */
export function send(kernel: Kernel, process: Process, signal: Signal, thread: Thread | null): void {
  if (process.status !== null) return;
  const { number } = signal;
  if (number === Sig.CONT || number === Sig.KILL) for (const each of process.threads) each.stopped = false;
  if (isIgnored(process, number) && !isBlocked(process, number, thread)) return;
  kernel.log.debug({ pid: process.pid, tid: thread?.tid, signal: number }, 'signal sent');
  (thread ?? process).pending.add(signal);
}

export function isIgnored(process: Process, number: number): boolean {
  if (number === Sig.KILL || number === Sig.STOP) return false;
  const { handler } = process.actions.of(number);
  return handler === SIG_IGN || (handler === SIG_DFL && defaultAction(number) === 'ignore');
}

function isBlocked(process: Process, number: number, thread: Thread | null): boolean {
  const all = thread ? [thread] : [...process.threads];
  return all.every(({ task }) => (task.signalMask & signalBit(number)) !== 0n);
}

/** A fault cannot be ignored or blocked: then it kills (force_sig_info). */
export function sendFault(kernel: Kernel, thread: Thread, signal: Signal): void {
  const { actions } = thread.process;
  const bit = signalBit(signal.number);
  if (thread.task.signalMask & bit || actions.of(signal.number).handler === SIG_IGN) {
    actions.set(signal.number, DEFAULT_ACTION);
    thread.task.signalMask &= ~bit;
  }
  send(kernel, thread.process, signal, thread);
}
