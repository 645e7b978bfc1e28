import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reg, getRegister } from '../../src/engine/base/registers.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { goTo, larger, open, readInt, run, sample, symbol } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireEmulated({});
}, 60_000);
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

it.skipIf(larger('zen2/race') === null)('race: writes by both threads, in mirror order', () => {
  const { target, close } = open(transport, larger('zen2/race') ?? '');
  try {
    goTo(target, BEFORE_MAIN);
    const counter = symbol(target, 'counter');
    const watch = { pid: null, address: counter, length: 8, access: 'write' as const };
    target.addWatchpoint(watch);
    const forth: string[] = [];
    for (let n = 0; n < 40; n++) {
      expect(run(target).kind).toBe('watchpoint');
      forth.push(`${target.currentTid} ${readInt(target, counter)}`);
    }
    const back: string[] = [];
    for (let n = 0; n < 40; n++) {
      expect(run(target, 'continue', 'backward').kind).toBe('watchpoint');
      back.push(`${target.currentTid} ${readInt(target, counter)}`);
    }
    const tids = forth.map((line) => line.split(' ')[0]);
    expect(back.map((line) => line.split(' ')[0])).toEqual(tids.toReversed());
    // Undone, the value is that of the write before.
    expect(back.slice(0, -1).map((line) => line.split(' ')[1])).toEqual(
      forth
        .slice(0, -1)
        .map((line) => line.split(' ')[1])
        .toReversed(),
    );
  } finally {
    close();
  }
});
