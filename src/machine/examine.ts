/** Probes a machine without a trace: whether programs see what KVM was given. */
import type { MachineKind } from './kinds.js';
import type { CpuidEntry } from '../engine/kvm/control.js';
import { Cr4, cpuidRecords, findEntry, supportedXcr0 } from '../engine/kvm/cpuid.js';
import type { MachineConfig } from '../engine/kvm/machine.js';
import { Machine } from '../engine/kvm/machine.js';
import { completesInstructions, nativeConfig } from '../engine/kvm/native-config.js';
import type { Finding } from '../engine/kvm/probe.js';
import { probe } from '../engine/kvm/probe.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import type { LeftOut } from '../engine/x86/unraised.js';
import type { CpuidRecord } from '../engine/trace/records.js';

export interface Examination {
  kind: MachineKind;
  description: string;
  /** Every XCR0 bit that KVM offers. */
  xcr0: bigint;
  cpuid: CpuidRecord[];
  /** Instructions that the processor lacks are executed in software. */
  completes: boolean;
  /** With all that KVM offers, and again with another, smaller processor. */
  findings: Finding[];
  passed: boolean;
  /** Why the processor does not count the program's branches; null: it does. */
  branchCounterProblem: string | null;
  /** Exceptions that it does not raise, or raises differently, and that replays complete. */
  leftOut: LeftOut[];
}

/** ECX of CPUID leaf 7. */
const UMIP = 1 << 2;
const X87_SSE = 3n;
const LEGACY_AND_HEADER = 576;
const BRAND = 'Revenant probe';

const without = (value: number, ...bits: number[]): number =>
  bits.reduce((left, bit) => left & ~(1 << bit), value) >>> 0;

/** A leaf of the smaller processor; null leaves it out. */
function smaller(entry: CpuidEntry): CpuidEntry | null {
  const copy = { ...entry };
  if (entry.function === 1) copy.ecx = without(entry.ecx, 12, 28, 29); // FMA, AVX, F16C
  if (entry.function === 7) Object.assign(copy, { ebx: entry.ebx & 1, ecx: 0, edx: 0 }); // FSGSBASE stays
  if (entry.function === 0xd) {
    if (entry.index > 1) return null;
    const root = { eax: Number(X87_SSE), ebx: LEGACY_AND_HEADER, ecx: LEGACY_AND_HEADER, edx: 0 };
    Object.assign(copy, entry.index === 0 ? root : { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  }
  if (entry.function >= 0x80000002 && entry.function <= 0x80000004) {
    const text = Buffer.alloc(48);
    text.write(BRAND);
    const at = (entry.function - 0x80000002) * 16;
    const [eax, ebx, ecx, edx] = [0, 4, 8, 12].map((offset) => text.readUInt32LE(at + offset));
    Object.assign(copy, { eax, ebx, ecx, edx });
  }
  return copy;
}

/**
 * A processor that is certainly not the machine's own: another brand, no AVX, XCR0 0x3. A KVM that
 * always shows its own processor passes with its own values and fails with these.
 */
export function otherProcessor(native: MachineConfig): MachineConfig {
  return {
    cpuid: native.cpuid.map(smaller).filter((entry) => entry !== null),
    xcr0: X87_SSE,
    cr4: native.cr4 & ~Cr4.PKE,
    cpuidFaulting: false,
  };
}

/** As for traces of kernels since 4.15 (cr4FromTrace). */
const withUmip = (native: MachineConfig): MachineConfig =>
  (findEntry(native.cpuid, 7)?.ecx ?? 0) & UMIP ? { ...native, cr4: native.cr4 | Cr4.UMIP } : native;

/** Probes a machine. Throws E_MACHINE_CANNOT where not even a VM can be made, E_MACHINE_LOST. */
export function examine(transport: VcpuTransport): Examination {
  const native = nativeConfig(transport);
  const xcr0 = supportedXcr0(native.cpuid);
  const completes = completesInstructions(transport);
  const {
    findings: own,
    branchCounterProblem,
    leftOut,
  } = probe(Machine.create(transport, withUmip(native)), 'every');
  const other = probe(Machine.create(transport, otherProcessor(native)), 'every').findings;
  const findings = [
    ...own.map((finding) => ({ ...finding, name: `${finding.name} (all features)` })),
    ...other.map((finding) => ({ ...finding, name: `${finding.name} (another processor)` })),
  ];
  return {
    kind: transport.kind,
    description: transport.description,
    xcr0,
    cpuid: cpuidRecords(native.cpuid),
    completes,
    findings,
    passed: findings.every((finding) => finding.ok),
    branchCounterProblem,
    leftOut,
  };
}
