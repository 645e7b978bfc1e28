/**
 * The machine that specs replay on. Most specs are of what is the same on every machine: they use the process machine where it
 * works, which starts in milliseconds, else the emulated one. Vitest's project `emulated` repeats some of them there
 * (vitest.config.ts).
 */
import type { VcpuTransport } from '../src/engine/kvm/transport.js';
import { acquireEmulated } from '../src/machine/emulated.js';
import type { MachineKind } from '../src/machine/kinds.js';
import { openProcess, type ProcessOptions } from '../src/machine/process.js';

/** Why no such process machine can be opened here, or null. */
export function problemOfProcess(options: ProcessOptions = {}): string | null {
  try {
    openProcess({ memoryMiB: 64, ...options }).close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why there is no process machine here, or null. */
export const processProblem = problemOfProcess();

type Opener = () => VcpuTransport | Promise<VcpuTransport>;

/** The machines that are here, the slowest first; what is opened is the caller's to close. */
export const machinesHere = (memoryMiB: number): [title: string, open: Opener][] => [
  ['the emulated machine', () => acquireEmulated()],
  ...(processProblem === null ? [['a process', () => openProcess({ memoryMiB })] as [string, Opener]] : []),
];

/** For `--machine` and the like. */
export const MACHINE: MachineKind & ('process' | 'emulated') =
  processProblem !== null || process.env.REVENANT_SPECS === 'emulated' ? 'emulated' : 'process';

/** A vCPU of it, the caller's to close. */
export const acquireMachine = async (): Promise<VcpuTransport> =>
  MACHINE === 'process' ? openProcess() : acquireEmulated();
