/**
 * The kernel gives the processor's counter to another program in the middle of a replay. The emulated machine has no
 * counter: its double reads what the recording says, until it is lost.
 */
import { constants } from 'node:os';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CounterLostError, type BranchCounter } from '../../src/engine/kvm/branch-counter.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession, type ReplayStats } from '../../src/engine/replay/session.js';
import type { TickStrategyName } from '../../src/engine/replay/ticks/strategy.js';
import { silentLogger } from '../../src/engine/base/log.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { tryMachine } from '../../src/machine/choose.js';
import { acquireMachine } from '../machines.js';
import { toEnd } from './to-end.js';

const { EAGAIN } = constants.errno;
const folder = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

interface Ended {
  stdout: string;
  stats: ReplayStats;
  wentBack: number[];
}

/** @param lostAt the read that finds the counter lost */
async function replay(tickStrategy: TickStrategyName, lostAt: number): Promise<Ended> {
  const trace = TraceReader.open(folder);
  const trial = tryMachine(transport, trace.header);
  if (!trial.ok) throw new Error(`the emulated machine cannot replay ${folder}`);
  let session: ReplaySession | null = null;
  let reads = 0;
  const counter: BranchCounter = {
    skid: 0,
    read() {
      if (reads++ >= lostAt) throw new CounterLostError(EAGAIN);
      const inside = session?.inside;
      return inside ? inside.frame.ticks - inside.task.ticks : 0;
    },
    arm() {},
    disarm() {},
  };
  trial.machine.branchCounter = counter;
  const chunks: Buffer[] = [];
  const wentBack: number[] = [];
  session = ReplaySession.open({
    trace,
    machine: trial.machine,
    log: silentLogger,
    output: (_, bytes) => void chunks.push(Buffer.from(bytes)),
    memoryLimitBytes: 256 * 2 ** 20,
    stallLimitMicros: 60e6,
    tickStrategy,
  });
  session.onFallBack((backTo) => void wentBack.push(backTo));
  try {
    await toEnd(session);
    expect(trial.machine.branchCounter === null).toBe(reads > lostAt);
    return { stdout: Buffer.concat(chunks).toString(), stats: session.stats, wentBack };
  } finally {
    session.close();
    trace.close();
  }
}

const expected = fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8');

let counted: Ended;
beforeAll(async () => {
  counted = await replay('branches', 0);
}, 60_000);

it.each([0, 6])('goes back and counts by breakpoints: lost at read %i', async (lostAt) => {
  const { stdout, stats, wentBack } = await replay('counter', lostAt);
  expect(stdout).toBe(expected);
  expect(stats.fallbacks).toBe(1);
  expect(wentBack).toEqual([stats.counterLostAt]);
  expect(stats.frames).toBe(counted.stats.frames);
  expect(stats.verifiedTicks).toBe(counted.stats.verifiedTicks);
});
