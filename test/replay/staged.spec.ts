/**
 * Staged system calls change how fast a replay is and nothing else: compared with the same replay
 * with an exit for each call, stopped or interrupted at any frames, and with a divergence.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { ReplaySession, ReplayStats } from '../../src/engine/replay/session.js';
import { acquireMachine } from '../machines.js';
import { larger, sample } from '../collections.js';
import { flipRegister } from '../trace/flip-register.js';
import { openSession, type OpenedSession } from './open-session.js';
import { toEnd } from './to-end.js';

/** Thousands of plain calls in a row, with stores; tens of them in the samples. */
const long = larger('zen2/syscalls.20k');
const traces = [sample('zen2/spawn'), sample('zen2/xcr0probe'), ...(long ? [long] : [])];

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

function open(folder: string, stageCalls: boolean): OpenedSession & { written: () => string } {
  const chunks: Buffer[] = [];
  const output = (_: number, bytes: Uint8Array): void => void chunks.push(Buffer.from(bytes));
  const opened = openSession(transport, folder, { output, stageCalls });
  return { ...opened, written: () => Buffer.concat(chunks).toString('latin1') };
}

async function replay(
  folder: string,
  stageCalls: boolean,
): Promise<{ written: string; status: number | null; stats: ReplayStats }> {
  const { session, written, close } = open(folder, stageCalls);
  try {
    await toEnd(session);
    return { written: written(), status: session.exitStatus, stats: session.stats };
  } finally {
    close();
  }
}

describe.each(traces)('%s', (folder) => {
  it('replays to the same end with fewer exits', async () => {
    const staged = await replay(folder, true);
    const plain = await replay(folder, false);
    expect(plain.stats.stagedCalls).toBe(0);
    expect(staged.stats.stagedCalls).toBeGreaterThan(3);
    expect(staged.stats.exits).toBeLessThan(plain.stats.exits);
    const { written, status } = plain;
    expect(staged).toMatchObject({ written, status, stats: { frames: plain.stats.frames } });
  });

  it('does so when it is interrupted again and again', async () => {
    const plain = await replay(folder, false);
    const { session, written, close } = open(folder, true);
    try {
      // A few microseconds are over before a batch is; a halt takes some 20 ms.
      for (let turns = 0, halts = 0; ; turns++) {
        const progress = session.advance(64, halts < 50 ? 5 : 50_000);
        if (progress === 'end') break;
        if (progress === 'pending' && halts++ < 50)
          expect(session.describe()?.frameTime).toBe(session.frameTime);
        if (turns % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(written()).toBe(plain.written);
      expect(session.exitStatus).toBe(plain.status);
      expect(session.stats.stagedCalls).toBeGreaterThan(0);
    } finally {
      close();
    }
  });
});

const FRAMES = 125;

it.each([5, 6, 7, 12, 64])('stops at the same places, every %i frames', (stride) => {
  const folder = sample('zen2/xcr0probe');
  const states: (Uint32Array | undefined)[] = [];
  const registers = (session: ReplaySession): Uint32Array => {
    const { core } = session;
    const task = [...core.tasks.values()][0];
    return task ? core.registers(task).slice() : new Uint32Array(0);
  };
  const plain = open(folder, false);
  try {
    for (let frame = 1; frame < FRAMES; frame++) {
      while (plain.session.advance(1, 50_000) === 'pending');
      states[frame] = registers(plain.session);
    }
  } finally {
    plain.close();
  }
  const staged = open(folder, true);
  try {
    for (let frame = stride; frame < FRAMES; frame += stride) {
      while (staged.session.frameTime < frame)
        staged.session.advance(frame - staged.session.frameTime, 50_000);
      expect(staged.session.frameTime).toBe(frame);
      expect(registers(staged.session)).toEqual(states[frame]);
    }
    expect(staged.session.stats.stagedCalls).toBeGreaterThan(0);
  } finally {
    staged.close();
  }
});

describe('a divergence among staged calls', () => {
  let copy: string;
  beforeAll(() => void (copy = fs.mkdtempSync(path.join(os.tmpdir(), 'staged-'))));
  afterAll(() => fs.rmSync(copy, { recursive: true }));

  it('is reported at its frame, as without staging', async () => {
    const PREAD64 = 17;
    const folder = path.join(copy, 'flipped');
    const frame = flipRegister(sample('zen2/xcr0probe'), folder, PREAD64, 2);
    const failure = async (stageCalls: boolean): Promise<unknown> =>
      replay(folder, stageCalls).then(
        () => null,
        (error: unknown) => error,
      );
    const staged = await failure(true);
    expect(staged).toMatchObject({ code: 'E_DIVERGED' });
    expect(String(staged)).toContain(`${frame}`);
    expect(String(staged)).toBe(String(await failure(false)));
  });
});
