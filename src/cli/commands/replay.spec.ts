import { expect, it } from 'vitest';
import { progressText, type ProgressSource } from './replay.js';

it('tells which event a long way leads to, how it is searched for, and how far it is', () => {
  const frame = { frameTime: 13, ticks: 5_000_000 };
  const inside = { frame, task: { recTicks: 1_000_000 }, strategy: 'instrumented' } as const;
  const at = (ticksSoFar: number, changed: Partial<NonNullable<ProgressSource['inside']>> = {}): string =>
    progressText({ frameTime: 12, ticksSoFar, inside: { ...inside, ...changed } }, 3);
  expect(at(1_200_000)).toMatch(
    /^frame 12, .*3 s; counting by copies of the code to frame 13: tick 1200000 of 5000000$/,
  );
  expect(at(1_200_000, { strategy: 'branches' })).toMatch(/; counting by breakpoints to frame 13: tick /);
  expect(at(4_200_000)).toMatch(/^frame 12, [^;]*$/);
  expect(at(-1, { strategy: 'match' })).toMatch(/; comparing registers to frame 13: tick 5000000$/);
  expect(at(-1, { strategy: 'match', task: { recTicks: 4_500_000 } })).toMatch(/^frame 12, [^;]*$/);
  expect(progressText({ frameTime: 12, ticksSoFar: 0, inside: null }, 3)).toMatch(/^frame 12, [^;]*$/);
});
