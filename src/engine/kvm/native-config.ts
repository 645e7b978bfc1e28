import { Control, type CpuidEntry } from './control.js';
import { Cr4, findEntry } from './cpuid.js';
import { Command } from './layout.js';
import { createVm, type MachineConfig } from './machine.js';
import type { VcpuTransport } from './transport.js';

const HYPERVISOR_RANGE = 0x4000_0000;
const OSXSAVE = 1 << 27;
const APIC = 1 << 9;
const PKU = 1 << 3;
const OSPKE = 1 << 4;

/**
 * All that this KVM supports, as a program on it would see it: for looking at a machine without a trace.
 * Throws E_MACHINE_CANNOT.
 */
export function nativeConfig(transport: VcpuTransport): MachineConfig {
  const control = new Control(transport);
  createVm(control);
  control.execute(Command.getSupportedCpuid);
  const cpuid = control.cpuidList().filter((entry) => entry.function >>> 28 !== HYPERVISOR_RANGE >>> 28);
  const xcr0 = supportedXcr0(cpuid);
  let cr4: number = Cr4.TSD | Cr4.OSXSAVE;
  const leaf1 = findEntry(cpuid, 1);
  if (leaf1) {
    leaf1.ecx = (leaf1.ecx | OSXSAVE) >>> 0;
    leaf1.edx = (leaf1.edx | APIC) >>> 0;
  }
  const leaf7 = findEntry(cpuid, 7);
  if (leaf7 && leaf7.ebx & 1) cr4 |= Cr4.FSGSBASE;
  if (leaf7 && leaf7.ecx & PKU && xcr0 & (1n << 9n)) {
    leaf7.ecx = (leaf7.ecx | OSPKE) >>> 0;
    cr4 |= Cr4.PKE;
  }
  return { cpuid, xcr0, cr4, cpuidFaulting: false };
}

/** The XCR0 bits of KVM_GET_SUPPORTED_CPUID. */
export function supportedXcr0(hardware: readonly CpuidEntry[]): bigint {
  const leaf = findEntry(hardware, 0xd);
  return leaf ? (BigInt(leaf.edx >>> 0) << 32n) | BigInt(leaf.eax >>> 0) : 3n;
}
