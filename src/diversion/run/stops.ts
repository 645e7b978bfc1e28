import type { Gva } from '../../engine/base/address.js';
import type { Breakpoint, DebugStop, Watchpoint } from '../../engine/debug/target.js';
import type { ContextPage } from '../../engine/kvm/context-page.js';
import type { Thread } from '../process.js';

const REGISTERS = [0, 1, 2, 3] as const;

/**
 * Breakpoints and watchpoints of a diversion. Up to four breakpoints are in debug registers; with more, or with
 * watchpoints, every instruction is looked at.
 */
export class Stops {
  private readonly breakpoints = new Set<Breakpoint>();
  /** With the bytes as they were last seen. */
  private readonly watchpoints = new Map<Watchpoint, Uint8Array | null>();

  add(breakpoint: Breakpoint): void {
    this.breakpoints.add(breakpoint);
  }

  remove(breakpoint: Breakpoint): void {
    this.breakpoints.delete(breakpoint);
  }

  watch(watchpoint: Watchpoint): void {
    this.watchpoints.set(watchpoint, null);
  }

  unwatch(watchpoint: Watchpoint): void {
    this.watchpoints.delete(watchpoint);
  }

  private get addresses(): Set<Gva> {
    return new Set([...this.breakpoints].map(({ address }) => address));
  }

  /** Instructions have to be looked at one by one. */
  get needSteps(): boolean {
    return this.watchpoints.size > 0 || this.addresses.size > REGISTERS.length;
  }

  /** Puts what debug registers can do into them. */
  arm(context: ContextPage): void {
    const addresses = this.needSteps ? [] : [...this.addresses];
    for (const index of REGISTERS) context.setBreakpoint(index, addresses[index] ?? null);
  }

  /** The stop at an instruction that is about to run, or null. */
  at(thread: Thread, address: Gva): DebugStop | null {
    for (const { pid, address: at, condition } of this.breakpoints) {
      if (at !== address || (pid !== null && pid !== thread.process.pid)) continue;
      if (condition && !condition(thread.tid)) continue;
      return { kind: 'breakpoint', tid: thread.tid, address };
    }
    return null;
  }

  /** Remembers what is watched, before an instruction runs. */
  look(thread: Thread): void {
    for (const watchpoint of this.watchpoints.keys()) {
      if (watchpoint.pid === null || watchpoint.pid === thread.process.pid)
        this.watchpoints.set(watchpoint, read(thread, watchpoint));
    }
  }

  /** The stop because of what the instruction or call changed since `look`, or null. */
  changed(thread: Thread): DebugStop | null {
    for (const [watchpoint, before] of this.watchpoints) {
      if (!before || (watchpoint.pid !== null && watchpoint.pid !== thread.process.pid)) continue;
      const now = read(thread, watchpoint);
      if (Buffer.compare(now, before) === 0) continue;
      this.watchpoints.set(watchpoint, now);
      if (watchpoint.condition && !watchpoint.condition(thread.tid)) continue;
      const { address, access } = watchpoint;
      return { kind: 'watchpoint', tid: thread.tid, address, access };
    }
    return null;
  }
}

function read(thread: Thread, { address, length }: Watchpoint): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, thread.task.space.read(address, bytes));
}
