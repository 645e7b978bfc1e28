/** Memory that a replay's own checkpoints keep, and what becomes of a replay that has given them up. */
import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import type { Gpa } from '../../src/engine/base/address.js';
import type { ReplaySession } from '../../src/engine/replay/session.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { itOn, recording, sample } from '../collections.js';
import { acquireMachine } from '../machines.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

/** Enough for as many checkpoints as are kept at the same time. */
const FRAMES = 300;

function peakPages(folder: string, tickStrategy: 'instrumented' | 'mixed'): number {
  const { session, close } = openSession(transport, folder, { tickStrategy });
  try {
    while (session.frameTime < FRAMES) session.advance(16, 50_000);
    return session.stats.peakPages;
  } finally {
    close();
  }
}

/** Until there are no more pages: who can give up any, does. */
function exhaust({ core: { memory } }: ReplaySession): void {
  const taken: Gpa[] = [];
  try {
    for (;;) taken.push(memory.allocate());
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code !== 'E_MEMORY_LIMIT') throw error;
  }
  for (const page of taken) memory.release(page);
}

describe('checkpoints of a replay', () => {
  itOn(recording('forks/resident'), 'keep a tenth of what the program uses, at most', (folder) => {
    // None is needed where ticks are counted.
    const own = peakPages(folder, 'instrumented');
    expect(peakPages(folder, 'mixed')).toBeLessThanOrEqual(own * 1.1);
  });

  itOn(sample('zen2/ambiguous'), 'are not missed where they were given up', async (folder) => {
    const memoryLimitBytes = 32 * 2 ** 20;
    const { session, close } = openSession(transport, folder, { memoryLimitBytes, tickStrategy: 'match' });
    try {
      await toEnd(session, exhaust);
      expect(session.exitStatus).toBe(Number(fs.readFileSync(`${folder}/expected_status`, 'utf8')) << 8);
      expect(session.stats.fallbacks).toBeGreaterThan(0);
    } finally {
      close();
    }
  });
});
