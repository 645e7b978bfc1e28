/**
 * The host's KVM, tried in a computer out of QEMU's emulator whose KVM is honest: hypervisors that lie, or that there are none,
 * keep most computers from trying their own. `npm run host-kvm` prints what this compares as a table.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largerCollection, MISSING } from '../collections.js';
import { checks } from './checks.js';
import { whyNoComputer } from './computer.js';
import { runChecks, type Run } from './run.js';

const reason = whyNoComputer();
const { tried, leftOut } = checks(largerCollection);

describe.skipIf(reason !== null)(`the host's KVM${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let run: Run;
  beforeAll(() => {
    run = runChecks(tried);
  });
  afterAll(() => run?.close());

  for (const { name } of tried) {
    it(name, async () => {
      const { ok, problem } = await run.result(name);
      expect(ok, problem).toBe(true);
    });
  }
  for (const name of leftOut) it.skip(`${name} (skipped: ${MISSING})`, () => {});
});
