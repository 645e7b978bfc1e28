/**
 * The strategies that find events, each forced over the table of traces (table.ts). The recorded ticks are the judge: one
 * that counts compares them at every frame that has exact ones; `match`, which does not, must come to the recorded
 * output and status.
 *
 * REVENANT_STRATEGIES=all takes the whole table instead of some traces of each kind, an hour in the emulated machine;
 * REVENANT_SPECS=emulated takes that machine.
 */
import { describe, expect, it } from 'vitest';
import { surveyMachine } from '../../src/machine/survey.js';
import { MACHINE } from '../machines.js';
import {
  entryOf,
  expectAsRecorded,
  refusalOf,
  table,
  whyNotInProcess,
  type ByTrace,
  type Listed,
} from './table.js';

const isWhole = process.env.REVENANT_STRATEGIES === 'all';

/** Signals, threads, faults, execs, programs that trap, code that changes itself, and loops whose registers repeat. */
const SOME: ReadonlySet<string> = new Set([
  'traces/haswell/faults',
  'traces/haswell/notsc',
  'traces/haswell/tracer',
  'traces/zen2/ambiguous',
  'traces/zen2/race',
  'traces/zen2/spawn',
  'larger/haswell/threads',
  'larger/zen2/forkpipe.nobuf',
  'larger/zen2/race.chaos',
  'larger/zen2/timers',
  'compute/mt.chaos',
  'real/python',
  'spin/short',
]);

/** What would take hours by an exit for each passage of an event's place; and what registers do not tell. */
const unmatched: ByTrace = {
  compute: 'its events are in loops with millions of passages',
  spin: 'registers repeat exactly in its loops: only counting tells their passages apart',
  'rr-tests/rr-test-async_usr1': 'its event is in a loop with a thousand million passages',
};

const { examination } = await surveyMachine(MACHINE, {});
const counterProblem = examination?.branchCounterProblem ?? null;

/** Why a trace is not replayed with a strategy here, or null. */
function whyNot(strategy: string, listed: Listed): string | null {
  if (strategy === 'counter' && counterProblem !== null) return `no counter is accepted: ${counterProblem}`;
  if (strategy === 'match') return entryOf(unmatched, listed) ?? null;
  return null;
}

const listed = table.flatMap(({ traces }) => traces);
const wanted = isWhole ? listed : listed.filter(({ group, name }) => SOME.has(`${group}/${name}`));

describe.each(['match', 'instrumented', 'counter'])(`--ticks %s, ${MACHINE}`, (strategy) => {
  for (const each of wanted) {
    it(`${each.group}/${each.name}`, async ({ skip }) => {
      const problem = whyNot(strategy, each) ?? (MACHINE === 'process' ? whyNotInProcess(each.trace) : null);
      if (problem !== null) skip(problem);
      const { verifiedTicks, fallbacks } = await expectAsRecorded(MACHINE, each, '--ticks', strategy);
      if (strategy === 'match' || refusalOf(MACHINE, each)) return;
      expect(verifiedTicks).toBeGreaterThan(0);
      expect(fallbacks).toBe(0);
    });
  }
});
