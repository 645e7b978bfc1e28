/**
 * Memory that is never touched costs nothing: a file of a terabyte with a few bytes in it, mapped in every way
 * (mmap_huge), and a read of a hole of a hundred gigabytes into memory without a reserve (large_hole).
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { memoryDigest } from '../../src/engine/travel/same-state.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { caseTrace, itOn } from '../collections.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

const MEMORY = 16 * 2 ** 20;

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

for (const name of ['mmap_huge', 'large_hole']) {
  itOn(
    caseTrace(`rr-tests/rr-test-${name}`),
    `${name} replays in ${MEMORY / 2 ** 20} MiB`,
    async (folder) => {
      const { session, close } = openSession(transport, folder, { memoryLimitBytes: MEMORY });
      try {
        await toEnd(session, () => {
          const { core, tid } = session.stand();
          const task = core.tasks.get(tid);
          // Reads all memory, like a comparison of two states.
          if (task) memoryDigest(core, task);
        });
        expect(session.exitStatus).toBe(0);
      } finally {
        close();
      }
    },
  );
}
