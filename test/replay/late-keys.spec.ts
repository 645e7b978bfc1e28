/** Protection keys of a program's own that are not seen before it runs, because they come late in a long trace. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/engine/base/log.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import type * as Use from '../../src/engine/trace/use.js';
import { Machines } from '../../src/recording/machines.js';
import { runSession } from '../../src/recording/run.js';
import { uninterrupted } from '../../src/recording/stops.js';
import { recording } from '../collections.js';
import { problemInProcess } from '../machines.js';

vi.mock('../../src/engine/trace/use.js', async (importOriginal) => {
  const real = await importOriginal<typeof Use>();
  const traceUse = (trace: TraceReader) => ({ ...real.traceUse(trace), ownKeys: null });
  return { ...real, traceUse };
});

const folder = recording('keys/own-key')!;
const problem = problemInProcess(folder);

it.skipIf(problem !== null)(
  `begin again with PKRU beside the processor, in another process (skipped: ${problem})`,
  async () => {
    const trace = TraceReader.open(folder);
    const machines = new Machines({ machine: 'process' }, silentLogger, () => {});
    const lost: string[] = [];
    let stdout = '';
    try {
      const { failure, outcome, machine } = await runSession({
        trace,
        machines,
        turns: uninterrupted,
        log: silentLogger,
        output: (fd, bytes) => {
          if (fd === 1) stdout += Buffer.from(bytes).toString('latin1');
        },
        stallLimit: 60,
        until: Infinity,
        now: () => performance.now(),
        onLost: (text) => lost.push(text),
        onTurn: () => {},
      });
      expect(failure).toBeNull();
      expect(outcome).toBe('end');
      expect(machine?.kind).toBe('process');
      expect(stdout).toBe(fs.readFileSync(path.join(folder, 'expected_stdout'), 'latin1'));
      // A processor without keys has PKRU beside it from the beginning.
      if (lost.length > 0) expect(lost).toEqual([expect.stringMatching(/protection key of its own/)]);
    } finally {
      trace.close();
      machines.close();
    }
  },
);
