/**
 * rr from 5.7 records vector registers with signals, and finds the place of an asynchronous one by them where
 * nothing else differs: in a loop without a conditional branch that changes an SSE register only (ssejmp), or also
 * memory (ssestore).
 */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { EventKind } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { readXmm } from '../../src/engine/x86/xstate-image.js';
import { acquireMachine } from '../machines.js';
import { itOn, recording } from '../collections.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

/** The first signal's frame and XMM0 there. */
function recordedXmm0(folder: string): { frameTime: number; xmm0: bigint } {
  const trace = TraceReader.open(folder);
  try {
    for (let frame = trace.advance(); frame !== null; frame = trace.advance()) {
      if (frame.kind === EventKind.signal && frame.extraRegisters)
        return { frameTime: frame.frameTime, xmm0: readXmm(frame.extraRegisters, 0) };
    }
  } finally {
    trace.close();
  }
  throw new Error(`${folder} has no signal with vector registers`);
}

for (const name of ['rr-5.9/ssejmp', 'rr-5.10/ssestore']) {
  itOn(
    recording(name),
    `${name}: the signal is where the vector registers are the recorded ones`,
    async (folder) => {
      const { frameTime, xmm0 } = recordedXmm0(folder);
      const chunks: Buffer[] = [];
      const output = (_stream: number, bytes: Uint8Array): void => void chunks.push(Buffer.from(bytes));
      const { session, close } = openSession(transport, folder, { output });
      try {
        while (session.frameTime < frameTime) {
          if (session.advance(1, 50_000) === 'end') throw new Error('the end came before the signal');
        }
        const { vectors } = session.stand().core;
        expect(readXmm(vectors.save(null), 0)).toBe(xmm0);
        await toEnd(session);
        expect(session.stats.fallbacks).toBe(0);
        expect(Buffer.concat(chunks).toString()).toBe(
          fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8'),
        );
      } finally {
        close();
      }
    },
  );
}
