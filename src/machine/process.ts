/** The process machine: a locked-down process of its own whose address space is the recorded program's. */
import { RevenantError } from '../engine/base/errors.js';
import { openProcess as openNativeProcess, type DebugRegisterMeans } from '../engine/kvm/native.js';
import { nativeTransport, type VcpuTransport } from '../engine/kvm/transport.js';
import type { HostOptions } from './host.js';
import { DEFAULT_POOL_MIB, poolSize } from './launch.js';

/**
 * Where the process itself lives: below what Linux gives to position-independent programs, libraries and stacks, above
 * static programs and what sanitizers reserve. A multiple of 4 GiB.
 */
export const PROCESS_BASE = 0x2a00_0000_0000;

export interface ProcessOptions extends HostOptions {
  /** Default: by whichever means the kernel grants. */
  debugRegisters?: DebugRegisterMeans;
  /** Namespaces of its own, if the kernel grants them. Default: true. */
  namespaces?: boolean;
}

/** Throws E_MACHINE_CANNOT where the kernel refuses such a process. */
export function openProcess(options: ProcessOptions = {}): VcpuTransport {
  const poolMiB = poolSize(options.memoryMiB ?? DEFAULT_POOL_MIB);
  try {
    const { debugRegisters, namespaces } = options;
    const handle = openNativeProcess(poolMiB * 1024 * 1024, PROCESS_BASE, debugRegisters, namespaces);
    const description = handle.hasNamespaces ? 'a process' : 'a process, without namespaces';
    return nativeTransport('process', description, handle);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The process machine cannot be used: ${reason}.`;
    throw new RevenantError('E_MACHINE_CANNOT', message, 'Use --machine emulated.', { cause: error });
  }
}
