/** Going to frames in any order, against a replay that goes straight. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/engine/base/log.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { CheckpointFiles, checkpointName } from '../../src/engine/persist/archive.js';
import { writeCheckpoint } from '../../src/engine/persist/file.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { memoryDigest } from '../../src/engine/travel/same-state.js';
import { acquireMachine } from '../machines.js';
import { tryMachine } from '../../src/machine/choose.js';
import { goTo, larger, open, sample } from './open.js';

const FRAMES = 100;
const WITH_FILES = 25;
const FILE_EVERY = 10;

let transport: VcpuTransport;
const files = fs.mkdtempSync(path.join(os.tmpdir(), 'random-frames-'));
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => {
  transport.close();
  fs.rmSync(files, { recursive: true });
});

const folder = larger('zen2/bash') ?? sample('zen2/spawn');

/** Numbers that are the same each time; a failure names the frame. */
function* random(): Generator<number> {
  for (let seed = 20_240_607; ;) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    yield seed / 2 ** 32;
  }
}

/** The task of each frame, by its number. */
const tidsOfFrames = (): number[] => {
  const trace = TraceReader.open(folder);
  const tids = [0];
  for (let frame = trace.advance(); frame; frame = trace.advance()) tids.push(frame.tid);
  trace.close();
  return tids;
};

type Reference = Map<number, string>;

/**
 * The state after each frame, in one pass without restoring checkpoints; some are written to files.
 * @param notesFiles as in sessions that can divert, where rr's page has other code than in a plain
 * replay
 */
function straight(frames: readonly number[], notesFiles = true): Reference {
  const trace = TraceReader.open(folder);
  const trial = tryMachine(transport, trace.header);
  if (!trial.ok) throw new Error('the emulated machine cannot replay it');
  const session = ReplaySession.open({
    ...{ trace, machine: trial.machine, log: silentLogger, output: () => {} },
    ...{ memoryLimitBytes: 2 ** 29, stallLimitMicros: 60e6, notesFiles },
  });
  try {
    const { core } = session;
    const found: Reference = new Map();
    for (const frame of frames.toSorted((a, b) => a - b)) {
      while (session.frameTime < frame) session.advance(frame - session.frameTime, 50_000);
      const states = [...core.tasks.values()].map(
        (task) =>
          `${task.tid} ${Buffer.from(core.registers(task).slice().buffer).toString('hex')} ${memoryDigest(core, task)}`,
      );
      found.set(frame, states.join('\n'));
      if (notesFiles && found.size % FILE_EVERY === 0)
        writeCheckpoint(session, path.join(files, checkpointName(frame)));
    }
    return found;
  } finally {
    session.close();
    trace.close();
  }
}

describe(`${FRAMES} frames of ${path.basename(folder)} in random order`, () => {
  const numbers = random();
  const frames = new Set<number>();
  const tids = tidsOfFrames();
  let reference: Reference;
  beforeAll(() => {
    const last = tids.length - 1;
    while (frames.size < FRAMES) frames.add(1 + Math.floor((numbers.next().value as number) * (last - 1)));
    reference = straight([...frames]);
  });

  function visit(
    order: Iterable<number>,
    options: Parameters<typeof open>[2],
  ): { checkpoints: number; peakPages: number } {
    const { target, close } = open(transport, folder, options);
    const { core } = target.session;
    try {
      for (const frame of order) {
        goTo(target, frame);
        expect(target.frameTime).toBe(frame);
        const next = tids[frame + 1];
        if (target.tasks().some(({ tid }) => tid === next))
          expect(target.currentTid, `frame ${frame}`).toBe(next);
        const states = target
          .tasks()
          .map(
            ({ tid }) =>
              `${tid} ${Buffer.from(core.registers(core.tasks.get(tid)!).slice().buffer).toString('hex')} ${target.memoryDigest(tid)}`,
          );
        expect(states.join('\n'), `frame ${frame}`).toBe(reference.get(frame));
      }
      return { checkpoints: target.checkpointCount, peakPages: core.memory.peakPages };
    } finally {
      close();
    }
  }

  it('each has the registers and the memory of a replay that goes straight there', () => {
    const { checkpoints } = visit(frames, {});
    expect(checkpoints).toBeGreaterThan(0);
    expect(checkpoints).toBeLessThanOrEqual(64);
  });

  it('each has the registers of a plain replay', () => {
    const registersOf = (states: string): string[] =>
      states.split('\n').map((state) => state.split(' ').slice(0, 2).join(' '));
    const plain = straight([...frames], false);
    for (const [frame, states] of reference)
      expect(registersOf(states), `frame ${frame}`).toEqual(registersOf(plain.get(frame)!));
  });

  it('the same from checkpoint files, and with little memory', () => {
    const backwards = [...frames].reverse().slice(0, WITH_FILES);
    const memoryLimitBytes = 12 * 2 ** 20;
    const { peakPages } = visit(backwards, {
      memoryLimitBytes,
      archive: (session) => new CheckpointFiles(session, [files]),
    });
    expect(peakPages).toBeLessThanOrEqual(memoryLimitBytes / 4096);
  });
});
