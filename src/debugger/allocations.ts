/**
 * Memory that a client allocated in the program: LLDB compiles expressions and stores code and data
 * there (packets `_M` and `_m`). A replay does not contain it. It is mapped into every diversion,
 * and kept here between diversions: clients use an allocation again long after the diversion that
 * it was made for.
 */
import { gva, type Gva } from '../engine/base/address.js';
import type { DebugTarget, MutableTarget } from '../engine/target.js';
import { PacketError } from './packet/fields.js';

const PAGE = 0x1000;
/** A range that is usually free: above a program's heap, below its libraries. */
const LOWEST = 0x2000_0000_0000;
const HIGHEST = 0x5000_0000_0000;
/** Of all of a session together. */
const MOST_BYTES = 64 << 20;
const ENOMEM = 12;

export interface Allocation {
  readonly pid: number;
  readonly start: Gva;
  readonly end: Gva;
  /** As in mmap(2). */
  readonly prot: number;
  readonly bytes: Uint8Array;
}

export class Allocations {
  private list: Allocation[] = [];

  /**
   * Zeroed memory in an unmapped range of the process. Throws PacketError if there is no room.
   * @param diversion the open one, which maps it immediately
   */
  allocate(
    target: DebugTarget,
    tid: number,
    size: number,
    prot: number,
    diversion: MutableTarget | null,
  ): Gva {
    const length = Math.ceil(Math.max(1, size) / PAGE) * PAGE;
    const held = this.list.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (held + length > MOST_BYTES) throw new PacketError(`no more than ${MOST_BYTES} bytes`, ENOMEM);
    const pid = target.tasks().find((task) => task.tid === tid)?.pid ?? 0;
    const taken = [...target.mappings(tid), ...this.of(pid)].sort((a, b) => a.start - b.start);
    let start = LOWEST;
    for (const { start: from, end } of taken) if (from < start + length) start = Math.max(start, end);
    if (start + length > HIGHEST) throw new PacketError('the program has no room', ENOMEM);
    const bytes = new Uint8Array(length);
    const allocation = { pid, start: gva(start), end: gva(start + length), prot, bytes };
    this.list.push(allocation);
    diversion?.mapMemory(tid, allocation.start, allocation.end, prot);
    return allocation.start;
  }

  /** False: there is none at that address. An open diversion keeps its mapping until it ends. */
  release(pid: number, start: number): boolean {
    const before = this.list.length;
    this.list = this.list.filter((each) => each.pid !== pid || each.start !== start);
    return this.list.length < before;
  }

  /** Of one process, in order of allocation. */
  of(pid: number): Allocation[] {
    return this.list.filter((each) => each.pid === pid);
  }

  /** The bytes at an address of a process outside of a diversion, to the end of the allocation; null: not ours. */
  at(pid: number, address: number): Uint8Array | null {
    const found = this.of(pid).find(({ start, end }) => start <= address && address < end);
    return found ? found.bytes.subarray(address - found.start) : null;
  }

  /** A diversion begins. */
  install(target: MutableTarget): void {
    this.each(target, (tid, { start, end, prot, bytes }) => {
      if (target.mapMemory(tid, start, end, prot)) target.writeMemory(tid, start, bytes);
    });
  }

  /** A diversion is about to end. */
  keep(target: MutableTarget): void {
    this.each(target, (tid, { start, bytes }) => void target.readMemory(tid, start, bytes));
  }

  private each(target: DebugTarget, act: (tid: number, allocation: Allocation) => void): void {
    for (const allocation of this.list) {
      const task = target.tasks().find(({ pid }) => pid === allocation.pid);
      if (task) act(task.tid, allocation);
    }
  }
}
