import { describe, expect, it } from 'vitest';
import type { ProbeReport } from '../../kvm/probe.js';
import { tickStrategyFor } from './choose.js';

const seen = (
  findings: Record<string, boolean>,
  branchCounterProblem: string | null = 'none',
): ProbeReport => ({
  kind: 'host',
  description: 'a machine',
  xcr0Seen: 7n,
  findings: Object.entries(findings).map(([name, ok]) => ({ name, expected: '', seen: '', ok })),
  passed: true,
  xsavec: true,
  xgetbv1: true,
  compactedXrstor: true,
  cpuidHere: [],
  leftOut: [],
  dataBreakpoints: true,
  branchCounterProblem,
});

describe('tickStrategyFor', () => {
  it('runs at full speed where breakpoints work, and counts by copies of code', () => {
    const machine = seen({ 'hardware breakpoint': true, 'single step': true });
    expect(tickStrategyFor(machine, false)).toBe('mixed');
    expect(tickStrategyFor(machine, true)).toBe('instrumented');
  });

  it('lets the processor count where it was seen to count exactly, if ticks are to be counted', () => {
    const machine = seen({ 'hardware breakpoint': true }, null);
    expect(tickStrategyFor(machine, false)).toBe('mixed');
    expect(tickStrategyFor(machine, true)).toBe('counter');
  });

  it('steps where breakpoints do not arrive', () => {
    const machine = seen({ 'hardware breakpoint': false, 'single step': true });
    expect(tickStrategyFor(machine, false)).toBe('steps');
    expect(tickStrategyFor(machine, true)).toBe('steps');
  });

  it('refuses a machine with neither', () => {
    expect(() => tickStrategyFor(seen({ 'single step': false }), false)).toThrow(
      /neither execution breakpoints/,
    );
  });
});
