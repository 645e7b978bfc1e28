/**
 * Programs with protection keys. All memory of a replay has key 0, and PKRU is beside the processor where they give memory another
 * key: the values of RDPKRU are the recorded ones, and what a key forbids is a recorded signal.
 */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { traceUse } from '../../src/engine/trace/use.js';
import { PROTECTION_KEYS } from '../../src/engine/x86/completion.js';
import { recording } from '../collections.js';
import { acquireMachine } from '../machines.js';
import { goTo, open } from '../travel/open.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

const expected = (folder: string, name: string): string =>
  fs.readFileSync(path.join(folder, `expected_${name}`), 'utf8');

describe.each(['keys/keys', 'keys/own-key'])('%s', (name) => {
  const folder = recording(name)!;

  it('gives memory a key of its own, which is known before it runs', () => {
    const trace = TraceReader.open(folder);
    const { ownKeys } = traceUse(trace);
    trace.close();
    expect(ownKeys!.frameTime).toBeGreaterThan(1);
  });

  it.each([false, true])('prints and ends as recorded; ticks are compared: %s', async (verifyTicks) => {
    let text = '';
    const output = (stream: number, bytes: Uint8Array): void => {
      if (stream === 1) text += Buffer.from(bytes).toString('latin1');
    };
    const { session, close } = openSession(transport, folder, { output, verifyTicks });
    try {
      expect(session.core.machine.xcr0 & PROTECTION_KEYS).toBe(0n);
      await toEnd(session);
      expect(text).toBe(expected(folder, 'stdout'));
      expect(session.exitStatus).toBe(Number(expected(folder, 'status')) << 8);
    } finally {
      close();
    }
  });

  it('has the same PKRU when it comes back to a frame', () => {
    const { target, close } = open(transport, folder);
    const states = (): string[] =>
      target.tasks().map(({ tid }) => `${tid} ${Buffer.from(target.vectorState(tid)).toString('hex')}`);
    try {
      goTo(target, 1e6);
      const end = target.frameTime;
      const frames = Array.from({ length: 8 }, (_, index) => 1 + Math.floor((index * (end - 2)) / 8));
      const forwards = frames.map((frame) => [goTo(target, frame).kind, states()]);
      const backwards = frames.toReversed().map((frame) => [goTo(target, frame).kind, states()]);
      expect(backwards.toReversed()).toEqual(forwards);
      expect(new Set(forwards.map(String)).size).toBeGreaterThan(1);
    } finally {
      close();
    }
  });
});
