import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gva } from '../../src/engine/base/address.js';
import { Reg, getRegister } from '../../src/engine/base/registers.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { Breakpoint } from '../../src/engine/target.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireMachine } from '../machines.js';
import { recording } from '../collections.js';
import { goTo, open, readInt, run, runUntil, sample, symbol } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

/** Where the program is mapped and `main` has not begun. */
const BEFORE_MAIN = 60;
const MAX_STOPS = 500;

/** What the program shows at each stop of one kind, until another kind ends it. */
function collect(
  target: TravelTarget,
  kind: 'breakpoint' | 'watchpoint',
  direction: 'forward' | 'backward',
  show: () => string,
): { shown: string[]; end: string } {
  const shown: string[] = [];
  for (let n = 0; n < MAX_STOPS; n++) {
    const stop = run(target, 'continue', direction);
    if (stop.kind !== kind) return { shown, end: stop.kind };
    shown.push(show());
  }
  throw new Error('no end');
}

const place = (target: TravelTarget): string => {
  const registers = target.registers(target.currentTid);
  return [Reg.rip, Reg.rsp, Reg.rax, Reg.rdi, Reg.eflags].map((slot) => getRegister(registers, slot)).join();
};

describe('tree', () => {
  it('goes back through every call in exact reverse order, and forwards again', () => {
    const { target, close } = open(transport, sample('skylake-pku/tree'));
    try {
      goTo(target, BEFORE_MAIN);
      const breakpoint = { pid: null, address: symbol(target, 'insert') };
      const inserted = symbol(target, 'inserted');
      const show = (): string => `${readInt(target, inserted)} ${place(target)}`;
      target.addBreakpoint(breakpoint);
      const forth = collect(target, 'breakpoint', 'forward', show);
      expect(forth.end).toBe('exited');
      expect(forth.shown.length).toBeGreaterThan(20);
      const back = collect(target, 'breakpoint', 'backward', show);
      expect(back).toEqual({ shown: forth.shown.toReversed(), end: 'history-end' });
      expect(collect(target, 'breakpoint', 'forward', show)).toEqual(forth);
      target.removeBreakpoint(breakpoint);

      target.addWatchpoint({ pid: null, address: inserted, length: 4, access: 'write' });
      const undone = collect(target, 'watchpoint', 'backward', () => String(readInt(target, inserted)));
      const redone = collect(target, 'watchpoint', 'forward', () => String(readInt(target, inserted)));
      expect(redone.shown.length).toBeGreaterThan(10);
      const last = Number(redone.shown[redone.shown.length - 1]);
      expect(undone.shown.map(Number)).toEqual(Array.from({ length: last }, (_, n) => last - 1 - n));
      expect(redone.shown.map(Number)).toEqual(Array.from({ length: last }, (_, n) => n + 1));
    } finally {
      close();
    }
  });

  it('undoes single instructions, over calls, returns, system calls and the start of an interval', () => {
    const { target, close } = open(transport, sample('skylake-pku/tree'));
    try {
      goTo(target, BEFORE_MAIN);
      const address = symbol(target, 'insert');
      target.addBreakpoint({ pid: null, address });
      run(target);
      const places = [place(target)];
      for (let n = 0; n < 60; n++) {
        expect(run(target, 'step').kind).toBe('step');
        places.push(place(target));
      }
      for (let n = places.length - 2; n >= 0; n--) {
        expect(run(target, 'step', 'backward').kind).toBe('step');
        expect(place(target), `${places.length - 1 - n} steps back`).toBe(places[n]);
      }
    } finally {
      close();
    }
  });
});

/** In zen2/race: a while before one thread takes over from the other in the middle of their loops. */
const BEFORE_SWITCH = 170;
const BESIDE_SWITCH = 15;

it('race: writes by both threads, in mirror order', () => {
  const { target, close } = open(transport, sample('zen2/race'));
  try {
    goTo(target, BEFORE_SWITCH);
    const counter = symbol(target, 'counter');
    target.addWatchpoint({ pid: null, address: counter, length: 4, access: 'write' });
    const write = (direction: 'forward' | 'backward'): { tid: number; value: number } => {
      expect(run(target, 'continue', direction).kind).toBe('watchpoint');
      return { tid: target.currentTid, value: readInt(target, counter) };
    };
    const forth = [write('forward')];
    const switched = (): number => forth.findIndex(({ tid }) => tid !== forth[0].tid);
    while (switched() < 0 || forth.length < switched() + BESIDE_SWITCH) forth.push(write('forward'));
    const seen = forth.slice(switched() - BESIDE_SWITCH);
    expect(new Set(seen.map(({ tid }) => tid)).size).toBe(2);
    const back = seen.map(() => write('backward'));
    expect(back.map(({ tid }) => tid)).toEqual(seen.map(({ tid }) => tid).toReversed());
    // Undone, the value is that of the write before.
    const values = seen.map(({ value }) => value);
    expect(back.slice(0, -1).map(({ value }) => value)).toEqual(values.slice(0, -1).toReversed());
    expect(seen.map(() => write('forward'))).toEqual(seen);
    const names = target.tasks().map(({ tid, name }) => `${name} ${seen.some((one) => one.tid === tid)}`);
    expect(names.sort()).toEqual(['race false', 'race true', 'race true']);
  } finally {
    close();
  }
});

it('a step back over the time of another thread stops where that one wrote', () => {
  const { target, close } = open(transport, sample('zen2/race'));
  try {
    goTo(target, BEFORE_SWITCH);
    const counter = symbol(target, 'counter');
    target.addWatchpoint({ pid: null, address: counter, length: 4, access: 'write' });
    const write = (): { tid: number; value: number } => {
      expect(run(target).kind).toBe('watchpoint');
      return { tid: target.currentTid, value: readInt(target, counter) };
    };
    let [before, after] = [write(), write()];
    while (after.tid === before.tid) [before, after] = [after, write()];
    const { tid } = after;
    let stop = run(target, 'step', 'backward', tid);
    for (let steps = 0; steps < 100 && 'tid' in stop && stop.tid === tid; steps++)
      stop = run(target, 'step', 'backward', tid);
    expect(stop).toMatchObject({ kind: 'watchpoint', tid: before.tid });
    expect(run(target, 'continue', 'forward')).toMatchObject({ kind: 'watchpoint', tid: before.tid });
    expect(readInt(target, counter)).toBe(before.value);
  } finally {
    close();
  }
});

it('a watchpoint stops after the last iteration of a repeated string instruction, and goes back before it', () => {
  const { target, close } = open(transport, recording('strings/last-turns')!);
  try {
    const FIRST = 14;
    goTo(target, FIRST);
    const [copied, filled] = [symbol(target, 'copy') + 7, symbol(target, 'filled') + 8];
    const show = (): string => `${readInt(target, gva(copied)) & 0xff} ${readInt(target, gva(filled))}`;
    for (const [address, length] of [
      [copied, 1],
      [filled, 8],
    ])
      target.addWatchpoint({ pid: null, address: gva(address), length, access: 'write' });
    const forth = collect(target, 'watchpoint', 'forward', show);
    expect(forth).toEqual({ shown: ['97 0', '97 7'], end: 'exited' });
    expect(collect(target, 'watchpoint', 'backward', show)).toEqual({
      shown: ['97 0', '0 0'],
      end: 'history-end',
    });
  } finally {
    close();
  }
});

it("a page of the program at the address of rr's thread locals is not changed", () => {
  const { target, close } = open(transport, recording('pages/own-page')!);
  try {
    const [MAPPED, LAST] = [16, 19];
    const page = (): number => readInt(target, gva(0x7000_1000));
    for (let frame = LAST; frame > MAPPED; frame--) {
      goTo(target, frame);
      target.mark();
      expect(page(), `frame ${frame}`).toBe(42);
    }
    goTo(target, MAPPED);
    expect(page()).toBe(0);
    expect(runUntil(target, ['exited']).at(-1)).toMatchObject({ kind: 'exited', status: 42 << 8 });
    expect(run(target, 'continue', 'backward').kind).toBe('history-end');
    expect(runUntil(target, ['exited']).at(-1)).toMatchObject({ kind: 'exited', status: 42 << 8 });
  } finally {
    close();
  }
});

it('a watchpoint stops at a call that maps over it, in both directions', () => {
  const { target, close } = open(transport, recording('pages/own-page')!);
  try {
    const [BEFORE, MAPPED] = [15, 16];
    const [watch, other] = [0x7000_1000, 0x7000_2000].map((address) => ({
      ...{ pid: null, address: gva(address), length: 4, access: 'write' as const },
    }));
    goTo(target, BEFORE);
    target.addWatchpoint(watch);
    target.addWatchpoint(other);
    const seen = (direction: 'forward' | 'backward') =>
      collect(target, 'watchpoint', direction, () => String(readInt(target, watch.address)));
    expect(run(target).kind).toBe('watchpoint');
    expect(target.frameTime).toBe(MAPPED);
    goTo(target, BEFORE);
    expect(seen('forward')).toEqual({ shown: ['0', '42'], end: 'exited' });
    const { shown, end } = seen('backward');
    expect([shown[0], shown.length, end]).toEqual(['0', 2, 'history-end']);
  } finally {
    close();
  }
});

it('a step back over a watched write stops at the watchpoint, before the write', () => {
  const { target, close } = open(transport, recording('hits/many')!);
  try {
    goTo(target, 16);
    const hits = symbol(target, 'hits');
    target.addWatchpoint({ pid: null, address: hits, length: 4, access: 'write' });
    expect(run(target).kind).toBe('watchpoint');
    expect(run(target).kind).toBe('watchpoint');
    expect(readInt(target, hits)).toBe(2);
    expect(run(target, 'step', 'backward')).toMatchObject({ kind: 'watchpoint', address: hits });
    expect(readInt(target, hits)).toBe(1);
    expect(run(target, 'step', 'backward').kind).toBe('step');
    expect(run(target, 'step').kind).toBe('step');
    expect(run(target, 'step').kind).toBe('watchpoint');
    expect(readInt(target, hits)).toBe(2);
  } finally {
    close();
  }
});

it('the last of twenty thousand arrivals in one interval is found without going through them all', () => {
  const { target, close } = open(transport, recording('hits/many')!);
  try {
    goTo(target, 16);
    const hits = symbol(target, 'hits');
    const breakpoint = { pid: null, address: symbol(target, 'spot') };
    expect(run(target).kind).toBe('exited');
    target.addBreakpoint(breakpoint);
    const before = target.session.exits;
    const arrival = (direction: 'forward' | 'backward'): string =>
      `${run(target, 'continue', direction).kind} ${readInt(target, hits)}`;
    expect(arrival('backward')).toBe('breakpoint 19999');
    expect(target.session.exits - before).toBeLessThan(20_000);
    expect(arrival('backward')).toBe('breakpoint 19998');
    expect(arrival('forward')).toBe('breakpoint 19999');
    expect(arrival('forward')).toBe('exited 20000');
  } finally {
    close();
  }
});

describe('a condition that holds once in twenty thousand arrivals', () => {
  const WANTED = 15_000n;
  /** Fewer by far than arrivals. */
  const FEW_EXITS = 4_000;
  const conditional = (target: TravelTarget, name: string): Breakpoint => {
    const rdi = (tid: number): bigint => getRegister(target.registers(tid), Reg.rdi);
    return {
      pid: null,
      address: symbol(target, name),
      condition: (tid) => rdi(tid) === WANTED,
      predicates: [[{ op: 'register', slot: Reg.rdi }, { op: 'constant', value: WANTED }, { op: 'equal' }]],
    };
  };

  it('is found forwards, backwards and from behind, by few exits', () => {
    const { target, close } = open(transport, recording('hits/many')!);
    try {
      goTo(target, 16);
      const hits = symbol(target, 'hits');
      target.addBreakpoint(conditional(target, 'spot'));
      const exitsOf = (direction: 'forward' | 'backward', kind: string): number => {
        const before = target.session.exits;
        expect(run(target, 'continue', direction).kind).toBe(kind);
        return target.session.exits - before;
      };
      const isThere = (): void => {
        expect(readInt(target, hits)).toBe(Number(WANTED) - 1);
        expect(getRegister(target.registers(target.currentTid), Reg.rdi)).toBe(WANTED);
        expect(target.rip(target.currentTid)).toBe(symbol(target, 'spot'));
      };
      expect(exitsOf('forward', 'breakpoint')).toBeLessThan(FEW_EXITS);
      isThere();
      expect(exitsOf('forward', 'exited')).toBeLessThan(FEW_EXITS);
      expect(exitsOf('backward', 'breakpoint')).toBeLessThan(FEW_EXITS);
      isThere();
      expect(exitsOf('backward', 'history-end')).toBeLessThan(FEW_EXITS);
      expect(exitsOf('forward', 'breakpoint')).toBeLessThan(FEW_EXITS);
      isThere();
      // The instruction before it, in the middle of the loop.
      const before = target.session.exits;
      expect(run(target, 'step', 'backward').kind).toBe('step');
      expect(target.session.exits - before).toBeLessThan(FEW_EXITS);
      expect(target.rip(target.currentTid)).not.toBe(symbol(target, 'spot'));
      expect(run(target, 'step').kind).toBe('step');
      isThere();
    } finally {
      close();
    }
  });

  it('the arrival before one in the middle of a loop is found without going through all', () => {
    const { target, close } = open(transport, recording('hits/many')!);
    try {
      goTo(target, 16);
      const hits = symbol(target, 'hits');
      const there = conditional(target, 'spot');
      target.addBreakpoint(there);
      run(target);
      target.removeBreakpoint(there);
      target.addBreakpoint({ pid: null, address: there.address });
      const before = target.session.exits;
      expect(run(target, 'continue', 'backward').kind).toBe('breakpoint');
      expect(readInt(target, hits)).toBe(Number(WANTED) - 2);
      expect(target.session.exits - before).toBeLessThan(FEW_EXITS);
    } finally {
      close();
    }
  });
});
