/** A program that sums its own code and runs a copy of it, with breakpoints in that code. */
import { expect, it } from 'vitest';
import { recording } from '../../collections.js';
import { debugOnce } from './recording.js';

const folder = recording('selfreads/selfreads')!;
const PRINTED = 'sum 4148152852 total 0';
const SEEN = 'more breakpoints than debug registers';

/** Breakpoints in so many of its functions, and on to the end. */
const session = (count: number): Promise<{ text: string }> =>
  debugOnce(folder, [
    ...Array.from({ length: count }, (_, index) => `break work${index + 1}`),
    ...Array<string>(count + 2).fill('continue'),
  ]);

it('computes the recorded result while debug registers are sufficient', async () => {
  const { text } = await session(3);
  expect(text.match(/Breakpoint \d, .*work\d/g)).toHaveLength(3);
  expect(text).toContain(PRINTED);
  expect(text).not.toContain(SEEN);
  expect(text).not.toMatch(/diverged/);
});

it('says beyond that what may be the cause of a divergence', async () => {
  const { text } = await session(10);
  expect(text).toContain(SEEN);
  expect(text).toMatch(/The replay diverged at frame \d+/);
  expect(text).toContain('If the program reads its own code, breakpoints may be the cause');
});
