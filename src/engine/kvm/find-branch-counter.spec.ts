import { expect, it } from 'vitest';
import type { BranchCounter } from './branch-counter.js';
import { check } from './find-branch-counter.js';
import { Exit } from './exit.js';
import type { Outcome, Registers } from './probe-guest.js';

const SKID = 256;

/**
 * A guest whose branches are counted by `wrong(retired)`, and which stops `late` branches behind what was asked for;
 * Infinity: never.
 */
function setUp({ wrong = (retired: number) => retired, late = 10 } = {}) {
  let retired = 0;
  let since = 0;
  let due = 0;
  let left = 0;
  const counter: BranchCounter = {
    skid: SKID,
    read: () => wrong(retired - since),
    arm(after) {
      since = retired;
      due = after;
    },
  };
  const go = (): Outcome => {
    const stopAt = due > 0 && retired < since + due ? since + due + late : Infinity;
    const end = Math.min(retired + left, stopAt);
    left -= end - retired;
    retired = end;
    return { exit: end === stopAt ? Exit.Interrupted : Exit.Exception } as Outcome;
  };
  const run = (_: Uint8Array, { rdi }: Registers = {}): Outcome => {
    left = 2 * Number(rdi);
    return go();
  };
  return check(counter, { run, go });
}

it('accepts a counter that counts each conditional branch and stops in time', () => {
  expect(setUp()).toBeNull();
  expect(setUp({ late: SKID })).toBeNull();
});

it.each([
  ['all branches', (retired: number) => 2.5 * retired],
  ['one too many now and then', (retired: number) => retired + (retired > 50_000 ? 1 : 0)],
  ['nothing', () => 0],
  ['an error', () => -11],
])('refuses one that counts %s', (_, wrong) => {
  expect(setUp({ wrong })).toMatch(/^counted -?[\d.]+ of \d+ conditional branches$/);
});

it('refuses one that stops too late, or never', () => {
  expect(setUp({ late: SKID + 1 })).toBe('a run that was to end after 500000 branches ended after 500257');
  expect(setUp({ late: Infinity })).toBe('a run does not end when it is due');
});
