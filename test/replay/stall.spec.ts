/**
 * A program that never reaches its event ends with an error, with any way of counting ticks: here a
 * recorded one whose code is changed to endless loops, without and with a conditional branch.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gva } from '../../src/engine/base/address.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { ReplayCore } from '../../src/engine/replay/state/core.js';
import { TICK_STRATEGIES } from '../../src/engine/replay/ticks/strategy.js';
import { acquireMachine } from '../machines.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

const folder = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');
/** The program's exec; what follows runs its first instruction. */
const EXEC_FRAME = 14;

/** The emulated processor has no counter. */
const EMULATED_STRATEGIES = TICK_STRATEGIES.filter((name) => name !== 'counter');

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

describe.each([
  ['jumps to itself', Uint8Array.of(0xeb, 0xfe)],
  ['branches to itself', Uint8Array.of(0x31, 0xc0, 0x74, 0xfc)],
])('a program that %s', (_name, code) => {
  it.each(EMULATED_STRATEGIES)('ends in a divergence: %s', async (tickStrategy) => {
    const { session, close } = openSession(transport, folder, {
      memoryLimitBytes: 256 * 2 ** 20,
      stallLimitMicros: 300_000,
      tickStrategy,
    });
    try {
      while (session.frameTime < EXEC_FRAME) session.advance(1, 50_000);
      const { core } = session as unknown as { core: ReplayCore };
      const space = [...core.tasks.values()][0].space;
      space.write(Number(session.describe()!.rip) as Gva, code);
      await expect(toEnd(session)).rejects.toThrow(
        /without coming nearer to the event|ran past the recorded number of ticks/,
      );
      expect(session.frameTime).toBe(EXEC_FRAME);
    } finally {
      close();
    }
  });
});
