import type { Gva } from '../../engine/base/address.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { SharedObject } from '../../engine/mm/backing.js';
import { E, fail } from '../base/errno.js';
import type { Wait } from './process.js';

/** Identity of a futex: memory object and offset. */
interface Key {
  readonly memory: object;
  readonly at: number;
}

interface Waiter {
  key: Key;
  readonly bits: number;
  woken: boolean;
}

/** In shared memory a futex is the same one for every mapping of it. */
function keyOf(space: AddressSpace, at: Gva): Key {
  const vma = space.vmas.find(at);
  if (vma?.backing instanceof SharedObject) return { memory: vma.backing, at: vma.offset + (at - vma.start) };
  return { memory: space, at };
}

const same = (a: Key, b: Key): boolean => a.memory === b.memory && a.at === b.at;

/** FUTEX_BITSET_MATCH_ANY. */
export const ALL_BITS = 0xffff_ffff;

/** Threads that wait on futexes, in order of arrival. */
export class FutexQueue {
  private readonly waiters: Waiter[] = [];

  /**
   * A wait that ends with 0 when the futex is woken.
   * @param deadline nanoseconds of the monotonic clock
   */
  wait(space: AddressSpace, at: Gva, bits = ALL_BITS, deadline?: bigint): Wait {
    if (bits === 0) fail(E.EINVAL);
    const waiter: Waiter = { key: keyOf(space, at), bits, woken: false };
    this.waiters.push(waiter);
    return {
      poll: () => (waiter.woken ? 0 : null),
      deadline,
      timedOut: -E.ETIMEDOUT,
      interrupted: deadline === undefined ? 'restart' : 'eintr',
      end: () => {
        const index = this.waiters.indexOf(waiter);
        if (index >= 0) this.waiters.splice(index, 1);
      },
      what: `the futex at 0x${at.toString(16)}`,
    };
  }

  /** Wakes up to `count` waiters; returns how many. */
  wake(space: AddressSpace, at: Gva, count: number, bits = ALL_BITS): number {
    const key = keyOf(space, at);
    let woken = 0;
    for (const waiter of this.waiters) {
      if (woken >= count) break;
      if (waiter.woken || !same(waiter.key, key) || (waiter.bits & bits) === 0) continue;
      waiter.woken = true;
      woken++;
    }
    return woken;
  }

  /** Requeues up to `count` waiters to another futex; returns how many. */
  requeue(space: AddressSpace, from: Gva, to: Gva, count: number): number {
    const [source, target] = [keyOf(space, from), keyOf(space, to)];
    let moved = 0;
    for (const waiter of this.waiters) {
      if (moved >= count) break;
      if (waiter.woken || !same(waiter.key, source)) continue;
      waiter.key = target;
      moved++;
    }
    return moved;
  }

  /** Whether it has waiters. */
  hasWaiters(space: AddressSpace, at: Gva): boolean {
    const key = keyOf(space, at);
    return this.waiters.some((waiter) => !waiter.woken && same(waiter.key, key));
  }
}
