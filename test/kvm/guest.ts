/** Shared by specs that run programs in a machine, without a recording. */
import { afterAll, beforeAll, describe } from 'vitest';
import { Machine, type MachineConfig } from '../../src/engine/kvm/machine.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TraceHeader } from '../../src/engine/trace/records.js';
import { openTransport, tryMachine } from '../../src/machine/choose.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import type { MachineKind } from '../../src/machine/kinds.js';
import { emulatedProblem, processProblem } from '../machines.js';

/** The emulated machine with a processor of QEMU's, by default all that it has. */
export const acquire = (cpu?: string): Promise<VcpuTransport> => acquireEmulated({ cpu });

/** A machine with all that the processor has, changed by `changes`. */
export function makeMachine(transport: VcpuTransport, changes: Partial<MachineConfig> = {}): Machine {
  return Machine.create(transport, { ...nativeConfig(transport), ...changes });
}

/** Specs of both machines that are not the host's KVM; each is skipped, with the reason, where it is not. */
export function describeMachines(specsOf: (kind: 'emulated' | 'process') => void): void {
  describe.each([
    { kind: 'emulated', problem: emulatedProblem },
    { kind: 'process', problem: processProblem },
  ] as const)('in the $kind machine', ({ kind, problem }) => {
    describe.skipIf(problem !== null)(`(${problem ?? 'it is here'})`, () => specsOf(kind));
  });
}

/** A vCPU of a machine, the caller's to close. */
export const transportOf = (kind: MachineKind): Promise<VcpuTransport> => openTransport(kind, {});

/** Opens a vCPU of a machine before the specs around, and closes it after them. */
export function useTransport(kind: MachineKind, opened: (transport: VcpuTransport) => void): void {
  let transport: VcpuTransport | undefined;
  beforeAll(async () => {
    transport = await transportOf(kind);
    opened(transport);
  });
  afterAll(() => transport?.close());
}

/** Runs `work` with programs in a machine's own small address space. */
export function withGuest<T>(machine: Machine, work: (guest: ProbeGuest) => T): T {
  const guest = new ProbeGuest(machine);
  try {
    return work(guest);
  } finally {
    guest.close();
  }
}

/** A machine as of a trace's header, and a guest in it; `close` closes both. */
export async function guestOf(
  header: TraceHeader,
  kind: MachineKind = 'emulated',
): Promise<{ machine: Machine; guest: ProbeGuest; close(): void }> {
  const transport = await transportOf(kind);
  const trial = tryMachine(transport, header);
  if (!trial.ok) {
    transport.close();
    throw new Error(trial.compatibility.reasons.join());
  }
  const guest = new ProbeGuest(trial.machine);
  const close = (): void => {
    guest.close();
    transport.close();
  };
  return { machine: trial.machine, guest, close };
}

export const program = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
