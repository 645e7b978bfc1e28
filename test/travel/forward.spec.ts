import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { goTo, open, readInt, run, runUntil, sample, symbol, type Opened } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

/** Where the program is mapped and `main` has not begun. */
const BEFORE_MAIN = 60;

describe('tree, forwards', () => {
  let opened: Opened;
  beforeAll(() => {
    opened = open(transport, sample('skylake-pku/tree'));
  });
  afterAll(() => opened.close());

  it('stops at every call of a function, and writes stop a watchpoint, by debug registers and by pages', () => {
    const { target } = opened;
    goTo(target, BEFORE_MAIN);
    const insert = { pid: null, address: symbol(target, 'insert') };
    const inserted = symbol(target, 'inserted');
    target.addBreakpoint(insert);
    const stops = runUntil(target, ['exited']);
    expect(stops.pop()).toMatchObject({ kind: 'exited', status: 0 });
    expect(stops.length).toBeGreaterThan(20);
    expect(new Set(stops.map(({ kind }) => kind))).toEqual(new Set(['breakpoint']));
    target.removeBreakpoint(insert);

    // The second is beyond what four debug registers can watch.
    for (const length of [4, 64]) {
      goTo(target, BEFORE_MAIN);
      const watch = { pid: null, address: inserted, length, access: 'write' as const };
      target.addWatchpoint(watch);
      const values: number[] = [];
      for (let n = 0; n < 1000 && run(target).kind === 'watchpoint'; n++) {
        const value = readInt(target, inserted);
        if (value !== values[values.length - 1]) values.push(value);
      }
      expect(values.filter((value) => value > 0)).toEqual(
        Array.from({ length: values[values.length - 1] }, (_, index) => index + 1),
      );
      target.removeWatchpoint(watch);
    }
  });

  it('meets a breakpoint again that was away while the program stepped off it', () => {
    const { target } = opened;
    goTo(target, BEFORE_MAIN);
    const breakpoint = { pid: null, address: symbol(target, 'tree_sum') };
    target.addBreakpoint(breakpoint);
    const straight = runUntil(target, ['exited']).length;
    goTo(target, BEFORE_MAIN);
    let hits = 1;
    for (; hits < 1000 && run(target).kind === 'breakpoint'; hits++) {
      target.removeBreakpoint(breakpoint);
      run(target, 'step');
      target.addBreakpoint(breakpoint);
    }
    expect(hits).toBe(straight);
    target.removeBreakpoint(breakpoint);
  });

  it('shows memory without breakpoints, and steps off one', () => {
    const { target } = opened;
    goTo(target, BEFORE_MAIN);
    const address = symbol(target, 'insert');
    const clean = readInt(target, address);
    const breakpoint = { pid: null, address };
    target.addBreakpoint(breakpoint);
    const { tid } = run(target);
    expect(target.rip(tid)).toBe(address);
    expect(readInt(target, address)).toBe(clean);
    expect(run(target, 'step')).toEqual({ kind: 'step', tid });
    expect(target.rip(tid)).not.toBe(address);
    target.removeBreakpoint(breakpoint);
  });
});

it('a fatal signal stops the program on the instruction that raised it', () => {
  const { target, close } = open(transport, sample('zen2/crash'));
  try {
    const stops = runUntil(target, ['signal', 'history-end']);
    expect(stops[stops.length - 1]).toMatchObject({ kind: 'signal', signal: 11 });
    const { tid } = stops[stops.length - 1];
    expect(target.siginfo(tid)?.[0]).toBe(11);
    const at = target.rip(tid);
    // The current position is not an earlier stop.
    expect(run(target, 'continue', 'backward').kind).toBe('history-end');
    runUntil(target, ['signal']);
    expect(target.rip(tid)).toBe(at);
    expect(runUntil(target, ['history-end']).map(({ kind }) => kind)).toEqual(['exited', 'history-end']);
  } finally {
    close();
  }
});
