/** An interrupt is noticed soon, counted in exits: time depends on the computer. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireMachine } from '../machines.js';
import { sample } from '../collections.js';
import { goTo, open, run, symbol } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

/** Some ten milliseconds in the emulated machine. */
const MOST_EXITS = 120;
const POLLS = 20;

/** Interrupts what `begin` starts after some polls. The most exits of one poll, and how many it took to stop then. */
function interrupted(
  target: TravelTarget,
  direction: 'forward' | 'backward',
): { longest: number; after: number } {
  const { session } = target;
  target.begin({ direction, tid: target.currentTid, mode: { kind: 'continue' } });
  let longest = 0;
  for (let polls = 0; polls < POLLS; polls++) {
    const before = session.exits;
    expect(target.poll()).toBeNull();
    longest = Math.max(longest, session.exits - before);
  }
  target.interrupt();
  const before = session.exits;
  for (let polls = 0; polls < POLLS; polls++) {
    const stop = target.poll();
    if (!stop) continue;
    expect(stop.kind).toBe('interrupted');
    return { longest, after: session.exits - before };
  }
  throw new Error('not interrupted');
}

it('stops a search over a loop that stops at every turn, or at none, both ways', () => {
  const { target, close } = open(transport, sample('zen2/race'));
  try {
    goTo(target, 100);
    const watch = { pid: null, address: symbol(target, 'counter'), length: 4, access: 'write' } as const;
    const never = { ...watch, condition: () => false };
    target.addWatchpoint(never);
    const forth = interrupted(target, 'forward');
    target.removeWatchpoint(never);
    while (run(target).kind !== 'exited');
    for (const watchpoint of [never, watch]) {
      target.addWatchpoint(watchpoint);
      const back = interrupted(target, 'backward');
      expect(Math.max(forth.longest, forth.after, back.longest, back.after)).toBeLessThan(MOST_EXITS);
      target.removeWatchpoint(watchpoint);
    }
  } finally {
    close();
  }
});
