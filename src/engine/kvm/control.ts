import { invariant } from '../base/errors.js';
import { Command, ControlOffset, MAX_CPUID_ENTRIES, MAX_MSRS } from './layout.js';
import type { VcpuTransport } from './transport.js';

/** struct kvm_cpuid_entry2: one answer of CPUID. `flags` bit 0: `index` (ECX) is significant. */
export interface CpuidEntry {
  function: number;
  index: number;
  flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

export const CPUID_INDEX_SIGNIFICANT = 1;

export interface MsrEntry {
  index: number;
  value: bigint;
}

/** struct CompletionPayload of native/kvm/control.h. */
export interface CompletionSettings {
  /** Feature bits of native/completion/state.h; 0: nothing is completed. */
  features: bigint;
  vendor: CompletionVendor;
  /** XCR0 of the recording, and what of it the processor has. */
  components: bigint;
  xcr0: bigint;
  /** Of the components in the XSAVE area. */
  offsets: readonly { bit: number; offset: number }[];
  protectionKeys: boolean;
}

/** Whose processor recorded: `Vendor` of native/completion/state.h. */
export const CompletionVendor = { intel: 0, amd: 1 } as const;
export type CompletionVendor = (typeof CompletionVendor)[keyof typeof CompletionVendor];

const XSTATE_COMPONENTS = 20;
const low = (value: bigint): number => Number(value & 0xffff_ffffn);
const high = (value: bigint): number => Number((value >> 32n) & 0xffff_ffffn);

const CPUID_ENTRY_WORDS = 10;
const MSR_ENTRY_WORDS = 4;
const LIST_HEAD_WORDS = 2;

/** The commands of the control block, one method each. They return 0 or a positive errno. */
export class Control {
  private readonly words: Uint32Array;
  private readonly wide: BigUint64Array;
  private readonly payload: Uint32Array;

  constructor(private readonly transport: VcpuTransport) {
    this.words = new Uint32Array(transport.pool, 0, ControlOffset.payload / 4);
    this.wide = new BigUint64Array(transport.pool, 0, ControlOffset.payload / 8);
    this.payload = new Uint32Array(
      transport.pool,
      ControlOffset.payload,
      LIST_HEAD_WORDS + MAX_CPUID_ENTRIES * CPUID_ENTRY_WORDS,
    );
  }

  /** A command without operands. */
  execute(command: Command): number {
    this.words[ControlOffset.command / 4] = command;
    return this.transport.execute();
  }

  /** A command whose operand and result is the control block's `value`. */
  executeValue(command: Command, value: bigint): number {
    this.wide[ControlOffset.value / 8] = value;
    return this.execute(command);
  }

  get value(): bigint {
    return this.wide[ControlOffset.value / 8];
  }

  setCpuid(entries: readonly CpuidEntry[]): number {
    invariant(entries.length <= MAX_CPUID_ENTRIES, `${entries.length} CPUID entries`);
    this.payload.fill(0);
    this.payload[0] = entries.length;
    entries.forEach((entry, i) => {
      const { function: leaf, index, flags, eax, ebx, ecx, edx } = entry;
      this.payload.set([leaf, index, flags, eax, ebx, ecx, edx], LIST_HEAD_WORDS + i * CPUID_ENTRY_WORDS);
    });
    return this.execute(Command.setCpuid2);
  }

  /** The list that `command` (getSupportedCpuid, getCpuid2) left. */
  cpuidList(): CpuidEntry[] {
    const count = Math.min(this.payload[0], MAX_CPUID_ENTRIES);
    return Array.from({ length: count }, (_, i) => {
      const at = LIST_HEAD_WORDS + i * CPUID_ENTRY_WORDS;
      const [leaf, index, flags, eax, ebx, ecx, edx] = this.payload.subarray(at, at + CPUID_ENTRY_WORDS);
      return { function: leaf, index, flags, eax, ebx, ecx, edx };
    });
  }

  /** `value` is the number of accepted ones if the result is not 0. */
  setMsrs(msrs: readonly MsrEntry[]): number {
    invariant(msrs.length <= MAX_MSRS, `${msrs.length} MSRs`);
    this.payload.fill(0, 0, LIST_HEAD_WORDS + msrs.length * MSR_ENTRY_WORDS);
    this.payload[0] = msrs.length;
    msrs.forEach(({ index, value }, i) => {
      const words = [index, 0, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn)];
      this.payload.set(words, LIST_HEAD_WORDS + i * MSR_ENTRY_WORDS);
    });
    return this.execute(Command.setMsrs);
  }

  initLongMode(cr4: number, cpuNumber: number, apicEnabled: boolean): number {
    this.payload.set([cr4, 0, cpuNumber, apicEnabled ? 1 : 0]);
    return this.execute(Command.initLongMode);
  }

  /** What is completed in software. EOPNOTSUPP where the service was built without. */
  setCompletion({ features, vendor, components, xcr0, offsets, protectionKeys }: CompletionSettings): number {
    const words = new Uint32Array(8 + XSTATE_COMPONENTS);
    words.set([low(features), high(features)]);
    words.set([low(components), high(components)], 2);
    words.set([low(xcr0), high(xcr0)], 4);
    words.set([vendor, protectionKeys ? 1 : 0], 6);
    for (const { bit, offset } of offsets) if (bit < XSTATE_COMPONENTS) words[8 + bit] = offset;
    this.payload.set(words);
    return this.execute(Command.setCompletion);
  }

  /** Instructions executed in software since the VM was made. */
  get completed(): number {
    return Number(this.wide[ControlOffset.completed / 8]);
  }

  get exitKind(): number {
    return this.words[ControlOffset.exitKind / 4];
  }
  get exitReason(): number {
    return this.words[ControlOffset.exitReason / 4];
  }
  get exitDetail(): [bigint, bigint] {
    return [this.wide[ControlOffset.exitDetail / 8], this.wide[ControlOffset.exitDetail / 8 + 1]];
  }
  get exitRip(): bigint {
    return this.wide[ControlOffset.exitRip / 8];
  }
  /** KVM_RUN calls since the VM was made. */
  get runIoctls(): number {
    return Number(this.wide[ControlOffset.runIoctls / 8]);
  }
}
