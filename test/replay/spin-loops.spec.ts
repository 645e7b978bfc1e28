/**
 * Loops in which the registers repeat exactly (test/guests/spin.c): a flag that another thread sets, with and without PAUSE,
 * and a lock with a futex. Each turn counts in memory only, so that is where it shows that a time slice ended in the right
 * one. What counts from one branch to the next, by breakpoints, is the judge of the others.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TickStrategyName } from '../../src/engine/replay/ticks/strategy.js';
import { EventKind } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { recordings } from '../collections.js';
import { machinesHere } from '../machines.js';
import { goTo, open, symbol } from '../travel/open.js';

const COUNTERS = ['turns', 'pauses', 'tries'];

const kinds = machinesHere(256);

/** Frames at which a time slice ends. */
function slicesOf(folder: string): number[] {
  const trace = TraceReader.open(folder);
  try {
    const frames: number[] = [];
    for (let frame = trace.advance(); frame; frame = trace.advance())
      if (frame.kind === EventKind.sched) frames.push(frame.frameTime);
    return frames;
  } finally {
    trace.close();
  }
}

async function countsAt(
  openMachine: () => VcpuTransport | Promise<VcpuTransport>,
  folder: string,
  frames: readonly number[],
  tickStrategy: TickStrategyName,
): Promise<{ counts: string[]; output: string }> {
  const transport = await openMachine();
  const chunks: Buffer[] = [];
  try {
    const output = (_: number, bytes: Uint8Array): void => void chunks.push(Buffer.from(bytes));
    const { target, close } = open(transport, folder, { tickStrategy, output });
    try {
      const counts = frames.map((frame) => {
        goTo(target, frame);
        return COUNTERS.map((name) => {
          const bytes = new Uint8Array(8);
          target.readMemory(target.currentTid, symbol(target, name), bytes);
          return new DataView(bytes.buffer).getBigUint64(0, true);
        }).join(' ');
      });
      const last = TraceReader.open(folder);
      while (last.advance());
      goTo(target, last.frameTime);
      last.close();
      return { counts, output: Buffer.concat(chunks).toString() };
    } finally {
      close();
    }
  } finally {
    transport.close();
  }
}

const folder = recordings('spin')!;

describe.each(fs.readdirSync(folder))('%s', (name) => {
  const trace = path.join(folder, name);
  const frames = slicesOf(trace);

  it('time slices end in the turn that was recorded, on every machine and by every way to count', async () => {
    expect(frames.length).toBeGreaterThan(10);
    const judge = await countsAt(kinds.at(-1)![1], trace, frames, 'branches');
    // In each of the loops, some.
    expect(new Set(judge.counts).size).toBeGreaterThan(5);
    expect(judge.output).toBe(fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8'));
    for (const [kind, openMachine] of kinds)
      for (const strategy of ['mixed', 'instrumented'] as const)
        expect(await countsAt(openMachine, trace, frames, strategy), `${kind}, ${strategy}`).toEqual(judge);
  });
});
