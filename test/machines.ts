/**
 * The machine that specs replay on. Most specs are of what is the same on every machine: they use the process machine where it
 * works, which starts in milliseconds, else the emulated one. Vitest's project `emulated` repeats some of them there
 * (vitest.config.ts).
 */
import type { VcpuTransport } from '../src/engine/kvm/transport.js';
import { acquireEmulated } from '../src/machine/emulated.js';
import type { MachineKind } from '../src/machine/kinds.js';
import { openProcess } from '../src/machine/process.js';

/** Why there is no process machine here, or null. */
export const processProblem = ((): string | null => {
  try {
    openProcess({ memoryMiB: 64 }).close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
})();

/** For `--machine` and the like. */
export const MACHINE: MachineKind & ('process' | 'emulated') =
  processProblem !== null || process.env.REVENANT_SPECS === 'emulated' ? 'emulated' : 'process';

/** A vCPU of it, the caller's to close. */
export const acquireMachine = async (): Promise<VcpuTransport> =>
  MACHINE === 'process' ? openProcess() : acquireEmulated();
