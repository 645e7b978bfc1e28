import fs from 'node:fs';
import { RevenantError } from '../../src/engine/base/errors.js';
import { silentLogger } from '../../src/engine/base/log.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { tryMachine } from '../../src/machine/choose.js';
import { openProcess } from '../../src/machine/process.js';
import { performChanged } from './changed-trace.js';
import { decodeTrace, openDecoded, type DecodedTrace } from './memory-trace.js';
import type { Target } from './targets.js';

const POOL_MIB = 64;
const MEMORY_LIMIT = 40 * 2 ** 20;
const MAX_TURNS = 1500;
const TURN_MICROS = 1000;
const STALL_MICROS = 100_000;
/** Frames by which one turn may advance where system calls are staged. */
const STAGED_FRAMES = 64;

/** Processes that this one has started and that have not been waited for. */
const children = (): number[] =>
  fs
    .readdirSync('/proc/self/task')
    .flatMap((thread) => fs.readFileSync(`/proc/self/task/${thread}/children`, 'latin1').trim().split(' '))
    .filter((pid) => pid !== '')
    .map(Number);

/** Changed frames and records, replayed in the process machine; samples that it cannot carry are left out. */
export function processTarget(samples: readonly string[]): Target {
  const before = children().length;
  let transport: VcpuTransport = openProcess({ memoryMiB: POOL_MIB });
  const carried = (trace: DecodedTrace): boolean => {
    try {
      return tryMachine(transport, trace.header).ok;
    } catch (error) {
      if (error instanceof RevenantError && error.code === 'E_MACHINE_CANNOT') return false;
      throw error;
    }
  };
  const decoded = samples
    .map((sample) => ({ sample, trace: decodeTrace(sample) }))
    .filter(({ trace }) => carried(trace));
  const checkChildren = (expected: number): void => {
    const left = children();
    if (left.length !== before + expected) throw new Error(`processes that are left: ${left.join(', ')}`);
  };
  return {
    run(seed) {
      const outcome = performChanged(decoded, seed, (sample, changed, random) => {
        checkChildren(1);
        return replay(transport, sample, changed, random(2) === 0);
      });
      if (!outcome.startsWith('E_MACHINE_LOST')) return outcome;
      transport.close();
      checkChildren(0);
      transport = openProcess({ memoryMiB: POOL_MIB });
      return outcome;
    },
    close() {
      transport.close();
      checkChildren(0);
    },
  };
}

function replay(transport: VcpuTransport, sample: string, copy: DecodedTrace, stageCalls: boolean): string {
  const trial = tryMachine(transport, copy.header);
  if (!trial.ok) return 'E_MACHINE_CANNOT';
  const trace = openDecoded(sample, copy);
  let session: ReplaySession | null = null;
  try {
    session = ReplaySession.open({
      trace,
      machine: trial.machine,
      log: silentLogger,
      output: () => {},
      memoryLimitBytes: MEMORY_LIMIT,
      stallLimitMicros: STALL_MICROS,
      stageCalls,
    });
    const frames = stageCalls ? STAGED_FRAMES : 1;
    for (let turns = 0; turns < MAX_TURNS; turns++)
      if (session.advance(frames, TURN_MICROS) === 'end') return 'replayed';
    return 'cut off';
  } finally {
    session?.close();
    trace.close();
  }
}
