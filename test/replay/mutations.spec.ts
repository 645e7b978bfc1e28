import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { cpuidEntries, cr4FromTrace } from '../../src/engine/kvm/cpuid.js';
import { Machine } from '../../src/engine/kvm/machine.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { acquireMachine } from '../machines.js';
import { copyTrace, decodeTrace, openDecoded, type DecodedTrace } from '../fuzz/memory-trace.js';
import { decodedChanges, headerChanges, mutateDecoded } from '../fuzz/mutate-decoded.js';
import { seeded } from '../trace/mutate.js';
import { patientClock } from '../../scripts/patience.mjs';

/**
 * Replays traces that decode but are nonsensical: registers, addresses, sizes, mappings, tasks and
 * the processor are changed. Each ends soon, at worst with a RevenantError, and the machine can
 * replay the next trace. A failure names its seed.
 */

const FIRST = 1;
const COUNT = 120;
const BATCH = 20;
const batches = Array.from({ length: COUNT / BATCH }, (_, i) => FIRST + i * BATCH);
const STALL_MICROS = 300_000;
const MEMORY = 64 * 2 ** 20;
/** A vCPU that does not stop is waited for some seconds before it is given up; fair seconds. */
const LIMIT_SECONDS = 30;
/** Counting up to a wrong number of ticks can last for hours, with turns for others: interrupted, as by Ctrl-C. */
const CUT_OFF_SECONDS = 2;
const CUT_OFF = 'cut off';

const sample = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');
const original = decodeTrace(sample);
const log = { debug() {}, info() {}, warn() {} };

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

async function leaseAnother(): Promise<void> {
  transport.close();
  transport = await acquireMachine();
}

/** Replays what there is; returns the output. Throws what the replay throws. */
function replay(trace: DecodedTrace, memoryLimitBytes = MEMORY): string {
  const { header } = trace;
  const machine = Machine.create(transport, {
    cpuid: cpuidEntries(header.cpuidRecords),
    xcr0: header.xcr0,
    cr4: cr4FromTrace(header.cpuidRecords, header.uname.release),
    cpuidFaulting: header.hasCpuidFaulting,
  });
  machine.answerCpuidInSoftware();
  const shown: Buffer[] = [];
  const reader = openDecoded(sample, trace);
  let session: ReplaySession | null = null;
  try {
    const output = (_stream: number, bytes: Uint8Array): void => void shown.push(Buffer.from(bytes));
    const limits = { memoryLimitBytes, stallLimitMicros: STALL_MICROS };
    session = ReplaySession.open({ trace: reader, machine, log, output, ...limits });
    const taken = patientClock();
    while (session.advance(100, 50_000) !== 'end') if (taken() > CUT_OFF_SECONDS) return CUT_OFF;
    return Buffer.concat(shown).toString();
  } finally {
    session?.close();
    reader.close();
  }
}

async function outcomeOf(trace: DecodedTrace, what: string): Promise<string> {
  try {
    return replay(trace) === CUT_OFF ? CUT_OFF : 'replayed';
  } catch (error) {
    // The state of that machine is unknown: the next replay leases another, as the command does.
    if (error instanceof RevenantError && error.code === 'E_MACHINE_LOST') await leaseAnother();
    if (error instanceof RevenantError && error.code !== 'E_INTERNAL') return error.code;
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
}

describe(`${COUNT} traces that decode but lie`, () => {
  const outcomes = new Map<string, number>();

  it.each(batches)('from seed %i on end in frames or a RevenantError, each in time', async (first) => {
    for (let seed = first; seed < first + BATCH; seed++) {
      const trace = copyTrace(original);
      const random = seeded(seed);
      const changes = seed % 10 === 0 ? { ...decodedChanges, ...headerChanges } : decodedChanges;
      const what = `seed ${seed}, ${mutateDecoded(trace, random, changes)}`;
      await nextTurn(); // the runner treats a test that never yields as hung
      const taken = patientClock();
      const outcome = await outcomeOf(trace, what);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(taken(), what).toBeLessThan(LIMIT_SECONDS);
    }
  });

  it('were of all kinds, and the machine still works', () => {
    for (const kind of ['replayed', 'E_DIVERGED', 'E_TRACE_CORRUPT'])
      expect(outcomes.get(kind), kind).toBeGreaterThan(COUNT / 50);
    expect(outcomes.get(CUT_OFF) ?? 0).toBeLessThan(COUNT / 10);
    expect(replay(copyTrace(original))).toContain('hello');
  });
});

describe('the memory limit', () => {
  it('ends a replay that needs more; the machine still works', () => {
    const limited = (): string => replay(copyTrace(original), 256 * 1024);
    expect(limited).toThrow(/more guest memory than its limit/);
    expect(replay(copyTrace(original))).toContain('hello');
  });
});
