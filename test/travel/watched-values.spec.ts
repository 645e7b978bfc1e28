/** Watchpoints that want a change and a predicate, which copies of the code test behind each store. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gva } from '../../src/engine/base/address.js';
import { asBefore, type Predicate } from '../../src/engine/base/predicate.js';
import { getRegister, Reg } from '../../src/engine/base/registers.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { DebugStop, Direction, Watchpoint } from '../../src/engine/target.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { recording } from '../collections.js';
import { acquireMachine } from '../machines.js';
import { goTo, open, readInt, run, sample, symbol } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

const isValue = (address: Gva, value: number): Predicate => [
  { op: 'constant', value: BigInt(address) },
  { op: 'load', size: 4 },
  { op: 'constant', value: BigInt(value) },
  { op: 'equal' },
];
const ALWAYS: Predicate = [{ op: 'constant', value: 1n }];

const int = (bytes: Uint8Array): number => Buffer.from(bytes).readInt32LE();

function watch(target: TravelTarget, address: Gva, predicate: Predicate): Watchpoint {
  const watchpoint: Watchpoint = { pid: null, address, length: 4, access: 'write', predicates: [predicate] };
  target.addWatchpoint(watchpoint);
  return watchpoint;
}

describe('a variable that is written twenty thousand times', () => {
  it('stops where it is what is asked for, in both directions', () => {
    const { target, close } = open(transport, recording('hits/many')!);
    try {
      goTo(target, 16);
      const hits = symbol(target, 'hits');
      const exits = target.session.exits;
      const forward = watch(target, hits, isValue(hits, 15_000));
      const stop = run(target) as DebugStop & { kind: 'watchpoint' };
      expect(stop).toMatchObject({ kind: 'watchpoint', address: hits, access: 'write' });
      expect([int(stop.values!.before), int(stop.values!.after)]).toEqual([14_999, 15_000]);
      expect(readInt(target, hits)).toBe(15_000);
      // Not one for each write.
      expect(target.session.exits - exits).toBeLessThan(1000);
      expect(run(target).kind).toBe('exited');
      target.removeWatchpoint(forward);
      // Backwards the program stands before the write from which the value is another.
      watch(target, hits, asBefore(isValue(hits, 15_000), hits, hits + 4)!);
      expect(run(target, 'continue', 'backward')).toMatchObject({ kind: 'watchpoint', address: hits });
      expect(readInt(target, hits)).toBe(15_000);
      expect(run(target, 'step').kind).toBe('watchpoint');
      expect(readInt(target, hits)).toBe(15_001);
    } finally {
      close();
    }
  });
});

/** Where the program stops, and the value there, at most so often, in the order of the recording. */
function places(target: TravelTarget, address: Gva, direction: Direction): string[] {
  const seen: string[] = [];
  for (let stops = 0; stops < 10; stops++) {
    const stop = run(target, 'continue', direction);
    if (stop.kind === 'exited' || stop.kind === 'history-end') break;
    if (stop.kind !== 'watchpoint') continue;
    const rip = getRegister(target.registers(stop.tid), Reg.rip).toString(16);
    seen.push(`${target.frameTime} ${rip} ${readInt(target, address)}`);
  }
  return seen;
}

/** Those of them at which the value is another than before. */
function changesOf(seen: readonly string[], first: number): string[] {
  const valueOf = (place: string): string => place.split(' ')[2];
  return seen.filter(
    (place, index) => valueOf(place) !== (index === 0 ? `${first}` : valueOf(seen[index - 1])),
  );
}

/** What is on the stack is written by calls, pushes, moves and system calls. */
const onStack = (target: TravelTarget): Gva =>
  (Math.floor(Number(getRegister(target.registers(target.currentTid), Reg.rsp)) / 8) * 8 - 64) as Gva;

describe.each([
  ['calls, pushes and the kernel write', sample('zen2/spawn'), 100, onStack],
  [
    'REP MOVSB writes',
    recording('strings/last-turns')!,
    14,
    (target: TravelTarget) => symbol(target, 'copy'),
  ],
])('memory that %s', (_, folder, frame, place) => {
  it('is found to change where debug registers find it, and backwards before that', () => {
    const { target, close } = open(transport, folder);
    try {
      goTo(target, frame);
      const address = place(target);
      const first = readInt(target, address);
      const plain: Watchpoint = { pid: null, address, length: 4, access: 'write' };
      target.addWatchpoint(plain);
      const expected = changesOf(places(target, address, 'forward'), first);
      target.removeWatchpoint(plain);
      expect(expected.length).toBeGreaterThan(2);
      goTo(target, frame);
      watch(target, address, ALWAYS);
      const found = places(target, address, 'forward');
      expect(found.slice(0, expected.length)).toEqual(expected);
      const values = [`${first}`, ...found.map((each) => each.split(' ')[2])];
      const backwards = places(target, address, 'backward').map((each) => each.split(' ')[2]);
      expect(backwards.slice(0, found.length)).toEqual(values.slice(0, -1).reverse());
    } finally {
      close();
    }
  });
});
