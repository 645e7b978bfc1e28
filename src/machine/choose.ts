/** Picks the machine for a trace, after probing it. */
import type { ProbeReport } from '../engine/kvm/probe.js';
import { probe } from '../engine/kvm/probe.js';
import { Machine } from '../engine/kvm/machine.js';
import { completesInstructions, nativeConfig } from '../engine/kvm/native-config.js';
import { cpuidRecords, supportedXcr0 } from '../engine/kvm/cpuid.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import { RevenantError } from '../engine/base/errors.js';
import type { TraceHeader } from '../engine/trace/records.js';
import type { TraceUse } from '../engine/trace/use.js';
import { PROTECTION_KEYS } from '../engine/x86/completion.js';
import { code32Error } from '../engine/trace/code32.js';
import { acquireEmulated } from './emulated.js';
import { hostKvmProblem, openHost } from './host.js';
import { MachinePartMissing } from './installation.js';
import { openProcess, type ProcessOptions } from './process.js';
import { kindsOf, type MachineChoice, type MachineKind } from './kinds.js';
import type { EmulatedOptions } from './launch.js';
import type { MachineCapabilities, Compatibility } from './requirements.js';
import { judge, machineConfig, incompatibleError, traceRequirements } from './requirements.js';
import { judgeUse } from './use.js';

/** Of any kind; each has its own of these. */
export type TransportOptions = EmulatedOptions & ProcessOptions;

interface Opener {
  /** Why there is none here, if known without trying; null: try. */
  problem(): string | null;
  open(options: TransportOptions): VcpuTransport | Promise<VcpuTransport>;
}

const OPENERS: Readonly<Record<MachineKind, Opener>> = {
  host: { problem: hostKvmProblem, open: openHost },
  process: { problem: () => null, open: openProcess },
  emulated: { problem: () => null, open: acquireEmulated },
};

export interface ChooseOptions extends TransportOptions {
  machine: MachineChoice;
  header: TraceHeader;
  /** Instructions that the processor lacks are executed in software. Default: true. */
  completion?: boolean;
  /** Kinds that `auto` does not try: they have failed with this trace. */
  without?: ReadonlySet<MachineKind>;
  /**
   * Supplies transports, for callers that keep them from trace to trace (and close them). Default:
   * a new one, closed if the machine is not chosen.
   */
  lease?: (kind: MachineKind) => VcpuTransport | Promise<VcpuTransport>;
}

export interface Chosen {
  /** Made for the trace, fresh. */
  machine: Machine;
  probeReport: ProbeReport;
  compatibility: Compatibility;
  capabilities: MachineCapabilities;
  /** With `auto`: why the host was passed over; null if it was not. */
  hostProblem: string | null;
}

/** A machine made for a trace, or why there is none. */
export type Trial =
  | {
      ok: true;
      machine: Machine;
      probeReport: ProbeReport;
      capabilities: MachineCapabilities;
      compatibility: Compatibility;
    }
  | { ok: false; capabilities: MachineCapabilities; compatibility: Compatibility };

/**
 * Makes the trace's machine over a transport and probes it. Does not close the transport. Throws
 * E_MACHINE_CANNOT if not even a VM can be made, E_MACHINE_LOST.
 * @param use what the program used, if that is known
 */
export function tryMachine(
  transport: VcpuTransport,
  header: TraceHeader,
  completion = true,
  use: TraceUse | null = null,
): Trial {
  const needs = traceRequirements(header);
  const { cpuid } = nativeConfig(transport);
  const completes = completion && completesInstructions(transport);
  // All memory has key 0 here, whatever key the program gave it: that must not be forbidden.
  const keepsKeys = completes && !!use?.ownKeys;
  const capabilities: MachineCapabilities = {
    kind: transport.kind,
    description: transport.description,
    xcr0: supportedXcr0(cpuid) & ~(keepsKeys ? PROTECTION_KEYS : 0n),
    cpuid: cpuidRecords(cpuid),
    completes,
    keepsKeys,
    probeReport: null,
  };
  const first = judge(needs, capabilities);
  if (!first.ok) return { ok: false, capabilities, compatibility: first };
  const machine = Machine.create(transport, machineConfig(header, capabilities));
  const probeReport = probe(machine);
  const seen = { ...capabilities, probeReport };
  const compatibility = judge(needs, seen);
  if (!compatibility.ok) return { ok: false, capabilities: seen, compatibility };
  return { ok: true, machine, probeReport, capabilities: seen, compatibility };
}

/** A vCPU of that kind, the caller's to close. Throws E_MACHINE_CANNOT, E_MACHINE_START. */
export async function openTransport(kind: MachineKind, options: TransportOptions): Promise<VcpuTransport> {
  return OPENERS[kind].open(options);
}

async function choose(kind: MachineKind, options: ChooseOptions): Promise<Chosen> {
  const unfit = judgeUse(kind, options.use, options.memoryMiB);
  if (!unfit.ok) throw incompatibleError(unfit);
  const lease = options.lease ?? ((wanted: MachineKind) => openTransport(wanted, options));
  const transport = await lease(kind);
  try {
    const trial = tryMachine(transport, options.header, options.completion, options.use);
    if (!trial.ok) throw incompatibleError(trial.compatibility);
    return { ...trial, hostProblem: null };
  } catch (error) {
    if (!options.lease) transport.close();
    throw error;
  }
}

/**
 * The machine for a trace: the requested one; with `auto` the host if the probe shows all that the
 * trace needs, else the emulated one. Throws E_MACHINE_CANNOT with every reason, E_MACHINE_START,
 * E_MACHINE_LOST; E_UNSUPPORTED for recordings that no machine can replay.
 */
export async function chooseMachine(options: ChooseOptions): Promise<Chosen> {
  if (options.use?.code32) throw code32Error(options.use.code32);
  const kinds = kindsOf(options.machine, options.without);
  let hostProblem: string | null = null;
  for (const kind of kinds.slice(0, -1)) {
    hostProblem = OPENERS[kind].problem();
    if (hostProblem !== null) continue;
    try {
      return await choose(kind, options);
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      hostProblem = error.message;
    }
  }
  try {
    const chosen = await choose(kinds[kinds.length - 1], options);
    return { ...chosen, hostProblem };
  } catch (error) {
    if (!(error instanceof MachinePartMissing) || hostProblem === null) throw error;
    // Whoever does not want to install it has to know what kept the other from being used.
    throw new MachinePartMissing(
      error.code,
      `${hostProblem.replaceAll('\n', ' ')} ${error.message}`,
      error.hint,
      { cause: error },
    );
  }
}
