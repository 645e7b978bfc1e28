import { RevenantError } from '../engine/base/errors.js';
import type { Logger } from '../engine/base/log.js';
import { cpuidEntries, cr4FromTrace } from '../engine/kvm/cpuid.js';
import type { MachineConfig } from '../engine/kvm/machine.js';
import { Machine } from '../engine/kvm/machine.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import type { TraceReader } from '../engine/trace/reader.js';
import { acquireEmulated } from '../machine/emulated.js';
import { openHost } from '../machine/host.js';
import { DEFAULT_POOL_MIB } from '../machine/launch.js';

export type MachineKind = 'host' | 'emulated';

export interface MachineOptions {
  machine: MachineKind | 'auto';
  /** QEMU's -cpu of the emulated machine. */
  cpu?: string;
  /** Most guest memory to use, in bytes. */
  memory?: number;
}

/** What a replay says of the machine it ran on. */
export interface MachineFacts {
  kind: MachineKind;
  description: string;
  guestXcr0: bigint;
  /** Every bit that the machine could give. */
  xcr0: bigint;
}

export interface MachineForTrace {
  machine: Machine;
  facts: MachineFacts;
  memoryLimitBytes: number;
}

const MIB = 1024 ** 2;

/** The machines of one command: a lease is kept from trace to trace, the vCPU is made anew for each. */
export class Machines {
  readonly #transports = new Map<MachineKind, VcpuTransport>();

  constructor(
    private readonly options: MachineOptions,
    private readonly log: Logger,
    private readonly note: (text: string) => void,
  ) {}

  /** A machine with the processor of the trace. Throws E_MACHINE_CANNOT, E_MACHINE_START, E_MACHINE_LOST. */
  async forTrace(trace: TraceReader): Promise<MachineForTrace> {
    const kind = this.options.machine === 'auto' ? 'emulated' : this.options.machine;
    const config = machineConfig(trace);
    const transport = await this.#transport(kind);
    const machine = Machine.create(transport, config);
    const leaf = machine.hardwareCpuid.find((record) => record.eaxIn === 0xd && record.ecxIn === 0);
    const facts = {
      kind,
      description: transport.description,
      guestXcr0: config.xcr0,
      xcr0: leaf ? (BigInt(leaf.edx >>> 0) << 32n) | BigInt(leaf.eax >>> 0) : 3n,
    };
    this.log.info({ machine: transport.description, xcr0: config.xcr0.toString(16) }, 'machine ready');
    return { machine, facts, memoryLimitBytes: this.options.memory ?? machine.pool.byteLength };
  }

  /** Gives a machine back that a replay has left in no known state: the next trace leases one anew. */
  discard(kind: MachineKind): void {
    this.#transports.get(kind)?.close();
    this.#transports.delete(kind);
  }

  /** Gives every lease back. */
  close(): void {
    for (const transport of this.#transports.values()) transport.close();
    this.#transports.clear();
  }

  async #transport(kind: MachineKind): Promise<VcpuTransport> {
    const known = this.#transports.get(kind);
    if (known) return known;
    // A smaller limit is kept by the session: only a larger one asks for another machine than the kept one.
    const memoryMiB = Math.max(DEFAULT_POOL_MIB, Math.ceil((this.options.memory ?? 0) / MIB));
    const transport =
      kind === 'host'
        ? openHost({ memoryMiB })
        : await acquireEmulated({ cpu: this.options.cpu, memoryMiB, onStarting: this.note });
    this.#transports.set(kind, transport);
    return transport;
  }
}

/** The processor as the recorded program saw it. */
function machineConfig(trace: TraceReader): MachineConfig {
  const { header, directory } = trace;
  if (trace.incomplete) {
    throw new RevenantError(
      'E_UNSUPPORTED',
      `${directory} has no header: the recorder was killed, and the recording processor is not known.`,
      '`revenant dump` shows its frames.',
    );
  }
  return {
    cpuid: cpuidEntries(header.cpuidRecords),
    xcr0: header.xcr0,
    cr4: cr4FromTrace(header.cpuidRecords, header.uname.release),
    cpuidFaulting: header.hasCpuidFaulting,
  };
}
