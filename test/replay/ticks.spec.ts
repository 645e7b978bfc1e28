/**
 * The strategies that find asynchronous events and count ticks, against each other on the same traces: each
 * must come to the recorded output and status. `ambiguous` is made to mislead register matches: its signals
 * interrupt a loop whose registers never change (test/guests/ambiguous.c).
 */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { ReplaySession, ReplayStats } from '../../src/engine/replay/session.js';
import type { TickStrategyName } from '../../src/engine/replay/ticks/strategy.js';
import { runCli } from '../cli/run-cli.js';
import { larger, recordings, sample } from '../collections.js';
import { MACHINE, acquireMachine } from '../machines.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

/** Threads and signals in loops that take 9 ms at a processor's speed, an event in millions of passages. */
const loops = ['mt', 'mt.chaos', 'mt.c5000']
  .map((name) => recordings('compute') && path.join(recordings('compute')!, name))
  .filter((folder) => folder !== null);

const longer = ['zen2/timers', 'zen2/race', 'haswell/race.nobuf']
  .map(larger)
  .filter((folder) => folder !== null);

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

interface Ended {
  stdout: string;
  status: number | null;
  stats: ReplayStats;
}

/** @param disturb called after every turn, with the session */
async function replay(
  folder: string,
  options: { tickStrategy?: TickStrategyName; verifyTicks?: boolean },
  disturb: (session: ReplaySession) => void = () => {},
  budgetMicros?: number,
): Promise<Ended> {
  const chunks: Buffer[] = [];
  const output = (stream: number, bytes: Uint8Array): void =>
    void (stream === 1 && chunks.push(Buffer.from(bytes)));
  const { session, close } = openSession(transport, folder, { output, ...options });
  try {
    await toEnd(session, disturb, budgetMicros);
    return { stdout: Buffer.concat(chunks).toString(), status: session.exitStatus, stats: session.stats };
  } finally {
    close();
  }
}

const recorded = (folder: string): { stdout: string; status: number } => ({
  stdout: fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8'),
  status: Number(fs.readFileSync(path.join(folder, 'expected_status'), 'utf8')) << 8,
});

describe('a loop whose registers never change', () => {
  const folder = sample('zen2/ambiguous');

  it('misleads the register match, and the replay goes back and counts', async () => {
    const { stats, ...ended } = await replay(folder, { tickStrategy: 'match' });
    expect(ended).toEqual(recorded(folder));
    expect(stats.fallbacks).toBeGreaterThan(0);
  });

  it.each(['mixed', 'instrumented', 'branches', 'steps'] as const)(
    'is found with %s',
    async (tickStrategy) => {
      const { stats, ...ended } = await replay(folder, { tickStrategy });
      expect(ended).toEqual(recorded(folder));
      expect(stats.fallbacks).toBe(0);
      if (tickStrategy === 'mixed') expect(stats.verifiedTicks).toBeGreaterThan(0);
      else expect(stats.verifiedTicks).toBe(35);
    },
  );
});

describe('strategies', () => {
  it.each(['mixed', 'match', 'instrumented', 'branches', 'steps'] as const)(
    'agree on a program without signals: %s',
    async (tickStrategy) => {
      const folder = sample('zen2/hello-static');
      const { stats, ...ended } = await replay(folder, { tickStrategy });
      expect(ended).toEqual(recorded(folder));
      expect(stats.fallbacks).toBe(0);
      if (tickStrategy !== 'match' && tickStrategy !== 'mixed')
        expect(stats.verifiedTicks).toBeGreaterThan(30);
    },
  );

  describe.each(longer)('on %s', (folder) => {
    it.each(['mixed', 'match', 'instrumented', 'branches'] as const)('%s', async (tickStrategy) => {
      const { stats, ...ended } = await replay(folder, { tickStrategy });
      expect(ended).toEqual(recorded(folder));
      expect(stats.fallbacks).toBe(0);
    });
  });
});

describe.each(loops)('events in hot loops, in %s', (folder) => {
  it.each(['mixed', 'instrumented'] as const)('are reached by counting: %s', async (tickStrategy) => {
    const { stats, ...ended } = await replay(folder, { tickStrategy });
    expect(ended).toEqual(recorded(folder));
    expect(stats.fallbacks).toBe(0);
    expect(stats.verifiedTicks).toBeGreaterThan(tickStrategy === 'mixed' ? 0 : 200);
  });
});

describe.each(loops.slice(0, 1))('a program that is halted while copies of its code count', (folder) => {
  it('stands between two instructions, and its ticks are right', async () => {
    const places = new Set<string>();
    const halt = (session: ReplaySession): void => {
      if (session.inside && session.pause()) places.add(String(session.describe()?.rip));
    };
    // Often enough while the program runs, whatever a machine's speed.
    const micros = MACHINE === 'process' ? 20 : 200;
    const { stats, ...ended } = await replay(folder, { tickStrategy: 'instrumented' }, halt, micros);
    expect(ended).toEqual(recorded(folder));
    expect(stats.verifiedTicks).toBeGreaterThan(200);
    expect(places.size).toBeGreaterThan(1);
  });
});

describe('--verify-ticks', () => {
  it('counts and compares, and says how often', async () => {
    const folder = sample('zen2/hello-static');
    transport.close(); // the command needs the machine
    const { code, stdout, stderr } = await runCli('replay', folder, '--verify-ticks', '--machine', MACHINE);
    transport = await acquireMachine();
    expect(stderr).toMatch(/ticks counted and equal at \d\d frames/);
    expect(stdout).toBe(recorded(folder).stdout);
    expect(code).toBe(0);
  });
});

describe('a replay that falls back', () => {
  const folders = [...longer, sample('zen2/ambiguous')];

  it.each(folders.slice(-2))('ends the same and writes nothing twice: %s', async (folder) => {
    let sent = 0;
    const { stats, ...ended } = await replay(folder, {}, (session) => {
      if (sent >= 3 || session.frameTime < 20) return;
      const inside = session as unknown as { fallBack(error: Error): boolean };
      if (inside.fallBack(new RevenantError('E_DIVERGED', 'not really'))) sent++;
    });
    expect(ended).toEqual(recorded(folder));
    expect(stats.fallbacks).toBeGreaterThan(0);
  });
});
