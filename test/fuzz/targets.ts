import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ReplayCore } from '../../src/engine/replay/state/core.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { DamagedTrace } from '../trace/damaged-trace.js';
import type { Random } from '../trace/mutate.js';
import { seeded } from '../trace/mutate.js';
import { decodeTrace, openDecoded, type DecodedTrace } from './memory-trace.js';
import { performChanged } from './changed-trace.js';
import { OracleMachine } from './oracle-machine.js';

/** A fuzz target: runs once for a seed and returns its outcome; throws errors that must never happen. */
export interface Target {
  run(seed: number): string;
  close(): void;
}

/** Damaged files, read by the trace reader. */
export function readerTarget(samples: readonly string[]): Target {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fuzz-'));
  const traces = samples.map((sample, index) => {
    const own = path.join(folder, String(index));
    fs.mkdirSync(own);
    return new DamagedTrace(sample, own);
  });
  return {
    run(seed) {
      const random = seeded(seed);
      const trace = traces[random(traces.length)];
      return trace.outcome(trace.damage(random));
    },
    close: () => fs.rmSync(folder, { recursive: true }),
  };
}

const MEMORY_LIMIT = 40 * 2 ** 20;
/** Counting up to a wrong number of ticks takes very many; each gives its caller a turn. */
const MAX_TURNS = 3000;
const STALL_MICROS = 100_000;
const log = { debug() {}, info() {}, warn() {} };
const output = (): void => {};

/** Changed frames and records, planned and performed on a fake processor. */
export function planTarget(samples: readonly string[]): Target {
  const decoded = samples.map((sample) => ({ sample, trace: decodeTrace(sample) }));
  return {
    // An unchanged one must replay as far as synthetic exits allow.
    run: (seed) => performChanged(decoded, seed, replay),
    close: () => {},
  };
}

const pool = new ArrayBuffer(48 * 2 ** 20);

function replay(sample: string, trace: DecodedTrace, random: Random): string {
  const machine = new OracleMachine(trace.header, pool);
  machine.surprises = random(4) === 0;
  machine.random = random;
  const reader = openDecoded(sample, trace);
  const limits = { memoryLimitBytes: MEMORY_LIMIT, stallLimitMicros: STALL_MICROS, stageCalls: false };
  let session: ReplaySession | null = null;
  try {
    session = ReplaySession.open({ trace: reader, machine: machine.asMachine(), log, output, ...limits });
    machine.core = (session as unknown as { core: ReplayCore }).core;
    for (let turns = 0; turns < MAX_TURNS; turns++) {
      machine.frame = trace.frames[reader.frameTime] ?? null;
      machine.next = trace.frames[reader.frameTime + 1] ?? null;
      if (session.advance(1, 1000) === 'end') return 'replayed';
    }
    return 'cut off';
  } finally {
    session?.close();
    reader.close();
  }
}
