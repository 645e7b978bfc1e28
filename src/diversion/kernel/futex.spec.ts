import { expect, it } from 'vitest';
import { gpa, gva, type Gva } from '../../engine/base/address.js';
import { GuestMemory } from '../../engine/kvm/guest-memory.js';
import { AddressSpace } from '../../engine/mm/address-space.js';
import { SharedObject } from '../../engine/mm/backing.js';
import { FutexQueue } from './futex.js';

const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
const space = (): AddressSpace => new AddressSpace(memory, { low: 0, high: 0 });
const at = gva(0x5000);

it('wakes in the order of arrival, as many as asked for, those whose bits match', () => {
  const queue = new FutexQueue();
  const own = space();
  const waits = [queue.wait(own, at), queue.wait(own, at, 2), queue.wait(own, at)];
  expect(queue.wake(own, at, 1, 2)).toBe(1);
  expect(waits.map((wait) => wait.poll())).toEqual([0, null, null]);
  waits[0].end!();
  expect(queue.wake(own, at, 9, 4)).toBe(1);
  expect(waits.map((wait) => wait.poll())).toEqual([0, null, 0]);
  expect(queue.wake(space(), at, 9)).toBe(0);
  expect(queue.hasWaiters(own, at)).toBe(true);
});

it('requeues, and knows shared memory by its object', () => {
  const queue = new FutexQueue();
  const object = new SharedObject(memory, 'shared');
  const map = (start: Gva): AddressSpace => {
    const one = space();
    const end = gva(start + 4096);
    one.map({ start, end, prot: 3, backing: object, offset: 0, name: '', file: null });
    return one;
  };
  const [first, second] = [map(gva(0x10_0000)), map(gva(0x20_0000))];
  const wait = queue.wait(first, gva(0x10_0010));
  expect(queue.requeue(first, gva(0x10_0010), gva(0x10_0020), 1)).toBe(1);
  expect(queue.wake(second, gva(0x20_0010), 1)).toBe(0);
  expect(queue.wake(second, gva(0x20_0020), 1)).toBe(1);
  expect(wait.poll()).toBe(0);
});
