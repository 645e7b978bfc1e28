import { expect, it } from 'vitest';
import { progressText } from './replay.js';

it('tells how far a long way to an event has been counted', () => {
  const frame = { frameTime: 13, ticks: 5_000_000 };
  const at = (ticksSoFar: number, inside = true): string =>
    progressText({ frameTime: 12, ticksSoFar, inside: inside ? { frame } : null }, 3);
  expect(at(1_200_000)).toMatch(/^frame 12, .*3 s; counting to frame 13: tick 1200000 of 5000000$/);
  expect(at(4_200_000)).toMatch(/^frame 12, [^;]*$/);
  expect(at(-1)).toMatch(/^frame 12, [^;]*$/);
  expect(at(0, false)).toMatch(/^frame 12, [^;]*$/);
});
