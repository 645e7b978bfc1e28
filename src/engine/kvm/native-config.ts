import { CompletionVendor, Control } from './control.js';
import { Cr4, findEntry, Leaf1Ecx, supportedXcr0 } from './cpuid.js';
import { Command } from './layout.js';
import { createVm, type MachineConfig } from './machine.js';
import type { VcpuTransport } from './transport.js';

const HYPERVISOR_RANGE = 0x4000_0000;
const APIC = 1 << 9;
const PKU = 1 << 3;
const OSPKE = 1 << 4;

/**
 * Everything that this machine supports, as a program on it would see it: to inspect a machine without a trace.
 * Throws E_MACHINE_CANNOT.
 */
export function nativeConfig(transport: VcpuTransport): MachineConfig {
  const control = new Control(transport);
  createVm(control, transport.kind);
  control.execute(Command.getSupportedCpuid);
  const cpuid = control.cpuidList().filter((entry) => entry.function >>> 28 !== HYPERVISOR_RANGE >>> 28);
  const xcr0 = supportedXcr0(cpuid);
  const leaf1 = findEntry(cpuid, 1);
  const hasXsave = leaf1 === undefined || (leaf1.ecx & Leaf1Ecx.XSAVE) !== 0;
  let cr4: number = Cr4.TSD | (hasXsave ? Cr4.OSXSAVE : 0);
  if (leaf1) {
    if (hasXsave) leaf1.ecx = (leaf1.ecx | Leaf1Ecx.OSXSAVE) >>> 0;
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

/** Whether the service executes what the processor lacks (set_completion). Precondition: a VM was made. */
export function completesInstructions(transport: VcpuTransport): boolean {
  const nothing = { components: 0n, xcr0: 0n, offsets: [], protectionKeys: false };
  return (
    new Control(transport).setCompletion({ features: 1n, vendor: CompletionVendor.intel, ...nothing }) === 0
  );
}
