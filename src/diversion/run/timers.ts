import type { Kernel } from '../kernel/kernel.js';
import { Sig, timerSignal, userSignal, Code } from '../kernel/pending.js';
import { send } from '../signals/send.js';

/** Sends the signals of timers that are due. */
export function fireTimers(kernel: Kernel): void {
  const now = kernel.clock.monotonic;
  for (const process of kernel.processes.values()) {
    const { alarm } = process;
    if (alarm.next === 0n || now < alarm.next) continue;
    alarm.next = alarm.interval === 0n ? 0n : now + alarm.interval;
    send(kernel, process, userSignal(Sig.ALRM, Code.kernel, 0, 0), null);
  }
  for (const timer of kernel.timers) {
    if (timer.next === 0n || now < timer.next) continue;
    const late = timer.interval === 0n ? 0n : (now - timer.next) / timer.interval;
    timer.overrun = Number(late);
    timer.next = timer.interval === 0n ? 0n : timer.next + (late + 1n) * timer.interval;
    if (timer.signal === 0) continue;
    const thread = timer.tid === 0 ? null : (kernel.threads.get(timer.tid) ?? null);
    send(kernel, timer.process, timerSignal(timer.signal, timer.id, timer.value), thread);
  }
}
