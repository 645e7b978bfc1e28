/**
 * Every trace that must replay (table.ts), each in the emulated machine and in the process machine, with the bytes that it
 * printed and its exit status where they are known.
 */
import { describe, it } from 'vitest';
import { emulatedProblem } from '../../scripts/emulated-parts.mjs';
import { largerCollection, MISSING } from '../collections.js';
import { entryOf, expectAsRecorded, table, whyNotInProcess, type ByTrace } from './table.js';

/** What takes minutes with an exit for each page. */
const tooSlow: ByTrace = {
  'memory/big1000': 'a gigabyte is filled by one exit for each page',
};

const emulatedMissing = emulatedProblem();

describe.each(table)('every trace of $group below $folder', ({ traces }) => {
  for (const listed of traces) {
    const { name, trace } = listed;
    const reason = emulatedMissing ?? entryOf(tooSlow, listed);
    if (reason) it.skip(`${name}, emulated (skipped: ${reason})`, () => {});
    else it(`${name}, emulated`, () => expectAsRecorded('emulated', listed));
    it(`${name}, in a process`, ({ skip }) => {
      const problem = whyNotInProcess(trace);
      if (problem !== null) skip(problem);
      return expectAsRecorded('process', listed);
    });
  }
});

if (!largerCollection) it.skip(`the larger collection (skipped: ${MISSING})`, () => {});
