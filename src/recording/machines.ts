import { RevenantError } from '../engine/base/errors.js';
import type { Logger } from '../engine/base/log.js';
import type { Machine } from '../engine/kvm/machine.js';
import type { ProbeReport } from '../engine/kvm/probe.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import type { TraceReader } from '../engine/trace/reader.js';
import { traceUse, type TraceUse } from '../engine/trace/use.js';
import { chooseMachine, openTransport } from '../machine/choose.js';
import { kindsOf, type MachineChoice, type MachineKind } from '../machine/kinds.js';
import { memoryForLimit } from '../machine/launch.js';
import { isClear } from '../machine/process.js';

export interface MachineOptions {
  /** `auto` (the default): the host's KVM if it has what the trace needs, else a process, else the emulated machine. */
  readonly machine?: MachineChoice;
  /** Processor of the emulated machine, as QEMU's -cpu names it. */
  readonly cpu?: string;
  /** Guest memory limit in bytes. */
  readonly memory?: number;
  /** Instructions that the processor lacks are executed in software (the default), or the trace is refused. */
  readonly completion?: boolean;
}

/** The machine of a replay, for reports. */
export interface MachineFacts {
  kind: MachineKind;
  description: string;
  /** As a program in the guest sees it by XGETBV; where it has no XGETBV, as set. */
  guestXcr0: bigint;
  /** All bits that the machine supports. */
  xcr0: bigint;
  /** Why `auto` did not choose the host; null if it did. */
  hostProblem: string | null;
}

export interface MachineForTrace {
  machine: Machine;
  facts: MachineFacts;
  probeReport: ProbeReport;
  memoryLimitBytes: number;
}

/** The machines of one command: a lease is kept from trace to trace, the vCPU is recreated for each. */
export class Machines {
  readonly #transports = new Map<MachineKind, VcpuTransport>();
  /** What `auto` does not try again for this trace: what a process cannot carry shows only when the program does it. */
  readonly #failed = new Set<MachineKind>();
  #failedTrace = '';
  /** It gives memory protection keys of its own, later than `traceUse` looks. */
  #keys: 'unknown' | 'found' | 'known' = 'unknown';

  constructor(
    private readonly options: MachineOptions,
    private readonly log: Logger,
    private readonly note: (text: string) => void,
  ) {}

  /** A machine with the processor of the trace. Throws E_MACHINE_CANNOT, E_MACHINE_START, E_MACHINE_LOST. */
  async forTrace(trace: TraceReader): Promise<MachineForTrace> {
    if (trace.incomplete && trace.header.cpuidRecords.length === 0) throw unknownProcessor(trace.directory);
    if (trace.directory !== this.#failedTrace) {
      this.#failed.clear();
      this.#keys = 'unknown';
    }
    this.#failedTrace = trace.directory;
    if (this.#keys === 'found') this.#keys = 'known';
    const use = this.#useOf(trace);
    const chosen = await chooseMachine({
      machine: this.options.machine ?? 'auto',
      header: trace.header,
      use,
      memoryMiB: memoryForLimit(this.options.memory),
      completion: this.options.completion,
      without: this.#failed,
      lease: (kind) => this.#lease(kind, use),
    });
    const { machine, probeReport, capabilities, hostProblem } = chosen;
    const facts = {
      kind: capabilities.kind,
      description: capabilities.description,
      guestXcr0: machine.hidesXcr0 ? machine.config.xcr0 : (probeReport.xcr0Seen ?? machine.config.xcr0),
      xcr0: capabilities.xcr0,
      hostProblem,
    };
    this.log.info({ machine: facts.description, hostProblem }, 'machine chosen');
    return { machine, facts, probeReport, memoryLimitBytes: this.options.memory ?? machine.pool.byteLength };
  }

  /** Releases a machine that a replay has left in an unknown state: the next trace leases another. */
  discard(kind: MachineKind): void {
    this.#transports.get(kind)?.close();
    this.#transports.delete(kind);
  }

  #useOf(trace: TraceReader): TraceUse {
    const use = traceUse(trace);
    return this.#keys === 'unknown' ? use : { ...use, ownKeys: use.ownKeys ?? { frameTime: 0, tid: 0 } };
  }

  /** Leases another machine after a loss. The memory of the lost one can be read until it is closed. */
  abandon(machine: Machine): void {
    const { transport } = machine;
    this.left(machine);
    for (const [kind, known] of this.#transports) if (known === transport) this.#transports.delete(kind);
  }

  /** Whether a replay that ended with this can go on. If its kind of machine cannot, there must be another. */
  mayServe(failure: unknown): boolean {
    if (!(failure instanceof RevenantError && failure.elsewhere) || this.#keys === 'found') return true;
    return kindsOf(this.options.machine ?? 'auto', this.#failed).some((kind) => !this.#failed.has(kind));
  }

  /** The machine of a replay was lost, or cannot go on: `auto` prefers another kind for the trace, or another of it will do. */
  left({ transport, needsKeysBeside }: Machine): void {
    if (needsKeysBeside) this.#keys = 'found';
    else if (transport.kind === 'process') this.#failed.add(transport.kind);
  }

  /** Releases every lease. */
  close(): void {
    for (const transport of this.#transports.values()) transport.close();
    this.#transports.clear();
  }

  async #lease(kind: MachineKind, use: TraceUse): Promise<VcpuTransport> {
    const known = this.#transports.get(kind);
    if (known && (known.reserved === null || isClear(known.reserved, use))) return known;
    this.discard(kind);
    const { cpu, memory } = this.options;
    const memoryMiB = memoryForLimit(memory);
    const transport = await openTransport(kind, { cpu, memoryMiB, use, onStarting: this.note });
    this.#transports.set(kind, transport);
    return transport;
  }
}

const unknownProcessor = (directory: string): RevenantError =>
  new RevenantError(
    'E_UNSUPPORTED',
    `${directory} has no header: the recorder was killed, and the recording processor is not known.`,
    'Pass a complete trace of the same rr and machine with --like TRACE. `revenant dump` shows the frames.',
  );
