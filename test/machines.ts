/**
 * The machine that specs replay on. Most specs are of what is the same on every machine: they use the process machine where it
 * works and can carry the recording, which starts in milliseconds, else the emulated one. Vitest's project `emulated` repeats
 * some of them there (vitest.config.ts).
 */
import { emulatedProblem as problemOfParts } from '../scripts/emulated-parts.mjs';
import { RevenantError } from '../src/engine/base/errors.js';
import type { VcpuTransport } from '../src/engine/kvm/transport.js';
import { TraceReader } from '../src/engine/trace/reader.js';
import { traceUse } from '../src/engine/trace/use.js';
import { tryMachine } from '../src/machine/choose.js';
import { acquireEmulated } from '../src/machine/emulated.js';
import type { MachineKind } from '../src/machine/kinds.js';
import { openProcess, type ProcessOptions } from '../src/machine/process.js';
import { judgeUse } from '../src/machine/use.js';

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

/** Why there is no emulated machine here, or null. */
export const emulatedProblem: string | null = problemOfParts();

type Opener = () => VcpuTransport | Promise<VcpuTransport>;

/** The machines that are here, the slowest first; what is opened is the caller's to close. */
export const machinesHere = (memoryMiB: number): [title: string, open: Opener][] => [
  ...(emulatedProblem === null
    ? [['the emulated machine', () => acquireEmulated()] as [string, Opener]]
    : []),
  ...(processProblem === null ? [['a process', () => openProcess({ memoryMiB })] as [string, Opener]] : []),
];

/** For `--machine` and the like. */
export const MACHINE: MachineKind & ('process' | 'emulated') =
  processProblem !== null || process.env.REVENANT_SPECS === 'emulated' ? 'emulated' : 'process';

/** A vCPU of it, the caller's to close. */
export const acquireMachine = async (): Promise<VcpuTransport> =>
  MACHINE === 'process' ? openProcess() : acquireEmulated();

/** Why a process here cannot carry a recording, or null. A recording without a header, or a damaged one, is no reason. */
export function problemInProcess(folder: string): string | null {
  if (processProblem !== null) return processProblem;
  const reader = TraceReader.open(folder);
  try {
    if (reader.incomplete && reader.header.cpuidRecords.length === 0) return null;
    const use = traceUse(reader);
    const unfit = judgeUse('process', use);
    if (!unfit.ok) return unfit.reasons[0];
    const transport = openProcess({ use });
    try {
      const { compatibility } = tryMachine(transport, reader.header, true, use);
      return compatibility.ok ? null : compatibility.reasons[0];
    } finally {
      transport.close();
    }
  } finally {
    reader.close();
  }
}

const chosen = new Map<string, typeof MACHINE>();

/** `MACHINE`, or the emulated one for a recording that no process here can carry. */
export function machineFor(folder: string): typeof MACHINE {
  if (MACHINE === 'emulated') return MACHINE;
  let machine = chosen.get(folder);
  if (machine === undefined) {
    try {
      machine = problemInProcess(folder) === null ? 'process' : 'emulated';
    } catch (error) {
      // Whoever replays it says what is wrong with it.
      if (!(error instanceof RevenantError)) throw error;
      machine = 'process';
    }
    chosen.set(folder, machine);
  }
  return machine;
}

/** Why no machine that specs use here can carry a recording, or null. */
export const problemHere = (folder: string): string | null =>
  machineFor(folder) === 'process' ? null : emulatedProblem;
