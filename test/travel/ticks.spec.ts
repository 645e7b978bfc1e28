/** Ticks inside of intervals, against a session that counts every one from the beginning. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { frameOfTicks } from '../../src/engine/trace/ticks.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireMachine } from '../machines.js';
import { goTo, open, run, runUntil, sample, symbol, wait } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());
/** The runner reports in between: a test leaves it no turn. */
afterEach(() => new Promise((resolve) => setImmediate(resolve)));

function ticksOf(target: TravelTarget): number {
  const tid = target.currentTid;
  if (target.ticks(tid) === null) {
    const place = placeOf(target);
    target.beginCountTicks();
    wait(target);
    expect(placeOf(target)).toBe(place);
  }
  return target.ticks(tid)!;
}

const placeOf = (target: TravelTarget): string =>
  `${target.frameTime} ${target.memoryDigest(target.currentTid)} ${target.registers(target.currentTid).join()}`;

function toBreakpoint(target: TravelTarget): void {
  const stops = runUntil(target, ['breakpoint', 'history-end']);
  expect(stops[stops.length - 1].kind).toBe('breakpoint');
}

function seek(target: TravelTarget, ticks: number): void {
  const trace = TraceReader.open(target.session.core.trace.directory);
  const frame = frameOfTicks(trace, target.currentTid, target.frameTime, ticks);
  trace.close();
  expect(frame).not.toBeNull();
  target.beginSeekTicks(frame!, ticks);
  wait(target);
}

interface Found {
  readonly ticks: number;
  readonly place: string;
}

function breakAt(target: TravelTarget, from: number, names: readonly string[]): void {
  goTo(target, from);
  for (const name of names) target.addBreakpoint({ pid: null, address: symbol(target, name) });
}

/** At three stops, and an instruction after each. */
function stopsOf(target: TravelTarget): Found[] {
  return [0, 1, 2, 3, 4, 5].map((turn) => {
    if (turn % 2 === 0) toBreakpoint(target);
    else run(target, 'step');
    return { ticks: ticksOf(target), place: placeOf(target) };
  });
}

function inSession<T>(folder: string, use: (target: TravelTarget) => T, options = {}): T {
  const { target, close } = open(transport, folder, options);
  try {
    return use(target);
  } finally {
    close();
  }
}

it('ticks are those of a session that counts all of them', () => {
  const folder = sample('zen2/hello-static');
  const found = (options: object): Found[] =>
    inSession(
      folder,
      (target) => {
        breakAt(target, 20, ['main', 'puts', 'malloc', 'write']);
        return stopsOf(target);
      },
      options,
    );
  const counted = found({ tickStrategy: 'branches' });
  expect(found({})).toEqual(counted);
});

describe.each([
  { folder: sample('zen2/spawn'), from: 120, names: ['fork', 'waitpid', 'read', 'write', '_exit'] },
  { folder: sample('zen2/race'), from: 100, names: ['run', 'write'] },
  { folder: sample('skylake-pku/tree'), from: 60, names: ['insert'] },
])('ticks in $folder', ({ folder, from, names }) => {
  it('lead back to where they were counted', () => {
    inSession(folder, (target) => {
      breakAt(target, from, names);
      const found = stopsOf(target);
      for (const { ticks } of found.toReversed()) {
        seek(target, ticks);
        expect(target.ticks(target.currentTid)).toBe(ticks);
      }
      // The place of so many ticks is the first one: with one fewer it is before.
      seek(target, found[0].ticks - 1);
      expect(target.ticks(target.currentTid)).toBe(found[0].ticks - 1);
      toBreakpoint(target);
      expect(placeOf(target)).toBe(found[0].place);
      expect(ticksOf(target)).toBe(found[0].ticks);
    });
  });

  it('that a task never has are refused, and the program does not move', () => {
    inSession(folder, (target) => {
      goTo(target, from);
      const place = placeOf(target);
      const poll = (ticks: number): unknown => {
        target.beginSeekTicks(from, ticks);
        return wait(target);
      };
      expect(() => poll(0)).toThrow(/task \d+ does not reach 0 ticks/);
      expect(() => poll(1e9)).toThrow(/does not reach 1000000000 ticks/);
      expect(placeOf(target)).toBe(place);
      expect(run(target, 'step').kind).toBe('step');
    });
  });
});
