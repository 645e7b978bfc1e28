/** The process machine and the emulated one replay the same: registers and memory of every task, every few frames. */
import os from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reg } from '../../src/engine/base/registers.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { ReplaySession } from '../../src/engine/replay/session.js';
import { EFLAGS_RESUME } from '../../src/engine/x86/constants.js';
import { memoryDigest } from '../../src/engine/travel/same-state.js';
import { openProcess } from '../../src/machine/process.js';
import { surveyMachine } from '../../src/machine/survey.js';
import { recording, traceFolder } from '../collections.js';
import { acquire } from '../kvm/guest.js';
import { openSession } from './open-session.js';

const TRACES: readonly [name: string, every: number][] = [
  ['haswell/faults', 40],
  ['haswell/tracer', 60],
  ['skylake-pku/xsave', 10],
  ['zen2/race', 20],
  ['zen2/spawn', 150],
  ['zen2/bash', 300],
  ['zen2/threads', 80],
  ['skylake-avx512/xcr0probe', 10],
  ['skylake-avx512/avx512mix', 5],
  ['skylake-avx512/avx512sig', 20],
  ['skylake-avx512/threads', 40],
  ['skylake-avx512/tree', 30],
  ['zen4/avx512sig', 20],
  ['zen4/avx512mix', 5],
];

/**
 * Recordings of a processor without XSAVEC differ in two words of a dead XSAVE area on the stack, which ld.so stored natively:
 * MXCSR_MASK, which has a bit more on AMD processors, and XSTATE_BV (AVX in use, or not).
 */
const isAmd = os.cpus().some(({ model }) => model.includes('AMD'));

const { problem } = await surveyMachine('process', {});

/** A line for each task: its registers, and a digest of what it can see of memory. */
function digest(session: ReplaySession): string[] {
  const { core } = session;
  return [...core.tasks.values()].map((task) => {
    const words = Uint32Array.from(core.registers(task));
    // Neither is the program's.
    words.fill(0, 2 * Reg.orig_rax, 2 * Reg.orig_rax + 2);
    words[2 * Reg.eflags] &= ~EFLAGS_RESUME;
    const registers = [...words].map((word) => word.toString(16)).join(' ');
    return `frame ${session.frameTime}, task ${task.tid}: ${registers}, memory ${memoryDigest(core, task)}`;
  });
}

function digests(transport: VcpuTransport, folder: string, every: number): string[] {
  const { session, close } = openSession(transport, folder);
  const lines: string[] = [];
  try {
    for (let next = every; ;) {
      const progress = session.advance(next - session.frameTime, 1_000_000);
      if (progress === 'end') return lines;
      if (session.frameTime < next) continue;
      lines.push(...digest(session));
      next += every;
    }
  } finally {
    close();
  }
}

describe.skipIf(problem !== null)(`on both machines (skipped: ${problem})`, () => {
  let emulated: VcpuTransport;
  let inProcess: VcpuTransport;
  beforeAll(async () => {
    emulated = await acquire();
    inProcess = openProcess();
  });
  afterAll(() => {
    emulated?.close();
    inProcess?.close();
  });

  for (const [name, every] of TRACES) {
    const folder = traceFolder(name) ?? recording(name);
    if (isAmd && name.startsWith('haswell/'))
      it.skip(`${name} (skipped: MXCSR_MASK and XSTATE_BV that XSAVE stores are this processor's)`, () => {});
    else if (folder === null) it.skip(`${name} (skipped: it is not here)`, () => {});
    else
      it(`${name} is the same every ${every} frames`, () => {
        const expected = digests(emulated, folder, every);
        expect(expected.length).toBeGreaterThan(2);
        expect(digests(inProcess, folder, every)).toEqual(expected);
      });
  }
});
