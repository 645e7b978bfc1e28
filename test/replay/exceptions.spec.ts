/**
 * Recordings of programs whose instructions raise exceptions, or are emulated by the kernel: output and exit as
 * recorded.
 */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { caseTrace, itOn } from '../collections.js';
import { openSession } from './open-session.js';
import { toEnd } from './to-end.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

async function replay(folder: string): Promise<{ text: string; status: number | null }> {
  let text = '';
  const output = (_: number, bytes: Uint8Array): void => void (text += Buffer.from(bytes).toString('latin1'));
  const { session, close } = openSession(transport, folder, { output });
  try {
    await toEnd(session);
    return { text, status: session.exitStatus };
  } finally {
    close();
  }
}

describe('instructions that the recording kernel answered', () => {
  itOn(caseTrace('umip'), 'SMSW, SGDT, SIDT, SLDT and STR under CR4.UMIP', async (folder) => {
    const text = 'smsw 80050033\nsgdt 0 fffffffffffe0000\nsidt 0 ffffffffffff0000\nsldt 0\nstr 40\n';
    expect(await replay(folder)).toEqual({ text, status: 0 });
  });
});

describe('exceptions that the emulated machine does not raise as processors do', () => {
  const [SEGV, FPE] = [11, 8];
  itOn(caseTrace('smash'), 'a return to a non-canonical address', async (folder) => {
    expect(await replay(folder)).toEqual({ text: 'before\n', status: SEGV });
  });
  itOn(caseTrace('fenv'), 'a division by zero that MXCSR does not mask', async (folder) => {
    expect(await replay(folder)).toEqual({ text: 'before\n', status: FPE });
  });
  itOn(caseTrace('x87'), 'reserved bits of MXCSR, and an x87 exception', async (folder) => {
    const text = 'mxcsr 11 code 128\nx87 8 code 3\n';
    expect(await replay(folder)).toEqual({ text, status: 0 });
  });
});
