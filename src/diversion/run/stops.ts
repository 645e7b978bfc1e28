import type { Gva } from '../../engine/base/address.js';
import type { GuestStops } from '../../engine/guest/stops/guest-stops.js';
import type { Breakpoint, DebugStop, Watchpoint } from '../../engine/target.js';
import type { Thread } from '../kernel/process.js';

/**
 * Breakpoints and watchpoints of a diversion. GuestStops finds them while the guest runs; writes of
 * the emulated kernel are found here, by comparison.
 */
export class Stops {
  /** With the bytes as they were before the call that is being performed. */
  private readonly watchpoints = new Map<Watchpoint, Uint8Array | null>();

  constructor(private readonly guest: GuestStops) {}

  get hadOverlays(): boolean {
    return this.guest.hadOverlays;
  }

  add(breakpoint: Breakpoint): void {
    this.guest.addBreakpoint(breakpoint);
  }

  remove(breakpoint: Breakpoint): void {
    this.guest.removeBreakpoint(breakpoint);
  }

  watch(watchpoint: Watchpoint): void {
    this.watchpoints.set(watchpoint, null);
    this.guest.addWatchpoint(watchpoint);
  }

  unwatch(watchpoint: Watchpoint): void {
    this.watchpoints.delete(watchpoint);
    this.guest.removeWatchpoint(watchpoint);
  }

  /** There is a breakpoint, regardless of its condition. */
  has(thread: Thread, address: Gva): boolean {
    return this.guest.breakpointsAt(thread.task, address).length > 0;
  }

  /** The stop at an instruction that is about to run, or null. */
  at(thread: Thread, address: Gva): DebugStop | null {
    const here = this.guest.breakpointsAt(thread.task, address);
    const holds = here.some(({ condition }) => condition?.(thread.tid) ?? true);
    return holds ? { kind: 'breakpoint', tid: thread.tid, address } : null;
  }

  /** The stop after an instruction that hit watchpoints, or null. */
  hit(thread: Thread, watchpoints: readonly Watchpoint[]): DebugStop | null {
    const hit = watchpoints.find(({ condition }) => condition?.(thread.tid) ?? true);
    return hit ? { kind: 'watchpoint', tid: thread.tid, address: hit.address, access: hit.access } : null;
  }

  /** Saves the watched memory, before a call is performed. */
  look(thread: Thread): void {
    for (const watchpoint of this.watchpoints.keys())
      this.watchpoints.set(watchpoint, concerns(watchpoint, thread) ? read(thread, watchpoint) : null);
  }

  /** The stop because of changes by the call since `save`, or null. */
  changed(thread: Thread): DebugStop | null {
    const changed = [...this.watchpoints].filter(
      ([watchpoint, before]) =>
        before && watchpoint.access !== 'read' && Buffer.compare(before, read(thread, watchpoint)) !== 0,
    );
    return this.hit(
      thread,
      changed.map(([watchpoint]) => watchpoint),
    );
  }
}

const concerns = ({ pid }: Watchpoint, { process }: Thread): boolean => pid === null || pid === process.pid;

function read(thread: Thread, { address, length }: Watchpoint): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, thread.task.space.read(address, bytes));
}
