/** Diversions at any frame of recordings with several processes and threads: they come back from everywhere. */
import fs from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { divert } from '../../src/recording/divert.js';
import { RevenantError } from '../../src/engine/base/errors.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { acquireMachine } from '../machines.js';
import { openReplay, standing, traceFolder, type Replay } from './fixtures.js';

const PLACES = Number(process.env.DIVERSIONS ?? 12);

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

/** Ascending; the same ones each time. */
function someFrames(folder: string): number[] {
  const trace = TraceReader.open(folder);
  let last = 0;
  while (trace.advance() !== null) last++;
  trace.close();
  let seed = last;
  const next = (): number => (seed = (seed * 48_271) % 0x7fff_ffff) / 0x7fff_ffff;
  return Array.from({ length: PLACES }, () => 1 + Math.floor(next() * (last - 1))).sort((a, b) => a - b);
}

type Outcome = 'called' | 'not';

/**
 * Everything that a diversion could leave changed is compared. The first time fills the replay's caches of the trace's
 * files.
 */
async function visit(replay: Replay): Promise<Outcome> {
  const first = await call(replay, false);
  expect(await call(replay, true)).toBe(first);
  return first;
}

async function call(replay: Replay, countsPages: boolean): Promise<Outcome> {
  const source = replay.session.stand();
  const { memory } = source.core;
  const state = (): unknown => [
    standing(replay),
    countsPages && memory.pagesInUse,
    fs.readdirSync('/proc/self/fd').length,
    fs.readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1'),
  ];
  const before = state();
  try {
    return await divert<Outcome>(
      source,
      async (d) => {
        const block = await d.call('malloc', 1 << 20);
        expect(block).not.toBe(0n);
        expect(await d.call('getpid')).toBe(BigInt(source.core.tasks.get(source.tid)!.group.tgid));
        return 'called';
      },
      { limits: { seconds: 10 } },
    );
  } catch (error) {
    // Before the program is loaded there is nothing to call; who holds malloc's lock waits for itself.
    expect(error).toBeInstanceOf(RevenantError);
    expect((error as RevenantError).code).toMatch(/^E_(USAGE|DIVERSION)$/);
    return 'not';
  } finally {
    expect(state()).toEqual(before);
  }
}

const found = ['zen2/bash', 'zen2/threads', 'zen2/spawn', 'zen2/race'].filter((name) => traceFolder(name));

it.each(found)('%s', async (name) => {
  const folder = traceFolder(name)!;
  const replay = openReplay(transport, folder);
  const outcomes: Outcome[] = [];
  try {
    for (const frame of someFrames(folder)) {
      replay.advanceTo(frame);
      const { core, tid } = replay.session.stand();
      // The recording has not begun its program yet, or this was a task's last frame.
      if (!core.tasks.has(tid)) continue;
      outcomes.push(await visit(replay));
    }
    replay.toEnd();
  } finally {
    replay.close();
  }
  expect(outcomes.filter((outcome) => outcome === 'called').length).toBeGreaterThan(PLACES / 2);
});
