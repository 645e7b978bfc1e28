/** Faults that the emulated machine leaves out, or has at another place, are there for a debugger, in both directions. */
import { afterAll, beforeAll, expect } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { caseTrace, itOn } from '../collections.js';
import { open, run, runUntil } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

for (const [name, trace] of [
  ['a return to a non-canonical address', 'smash'],
  ['an unmasked division by zero', 'fenv'],
] as const) {
  itOn(caseTrace(trace), name, (folder) => {
    const { target, close } = open(transport, folder);
    try {
      const signal = runUntil(target, ['signal', 'exited']).pop();
      expect(signal?.kind).toBe('signal');
      const rip = target.rip(target.currentTid);
      run(target, 'step', 'backward');
      const before = target.rip(target.currentTid);
      expect(rip - before).toBeGreaterThan(0);
      expect(rip - before).toBeLessThan(16);
      expect(run(target, 'step').kind).toBe('step');
      expect(target.rip(target.currentTid)).toBe(rip);
      // Only the instruction raises it, and the program does not move.
      expect(run(target, 'step')).toEqual(signal);
      expect(target.rip(target.currentTid)).toBe(rip);
      const breakpoint = { pid: null, address: rip };
      target.addBreakpoint(breakpoint);
      run(target, 'step', 'backward');
      expect(run(target).kind).toBe('breakpoint');
      expect(run(target)).toEqual(signal);
    } finally {
      close();
    }
  });
}
