/** The host's own KVM. Whether it works is decided by the probe. */
import fs from 'node:fs';
import { RevenantError } from '../engine/base/errors.js';
import { openHost as openNativeHost } from '../engine/kvm/native.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import { nativeTransport } from '../engine/kvm/transport.js';
import { DEFAULT_POOL_MIB, poolSize } from './launch.js';

const KVM_DEVICE = '/dev/kvm';

export interface HostOptions {
  /** Size of the guest-physical pool; made a power of two. */
  memoryMiB?: number;
}

/** Why /dev/kvm cannot be used at all, as text, or null. */
export function hostKvmProblem(): string | null {
  if (!fs.existsSync(KVM_DEVICE)) return `${KVM_DEVICE} does not exist`;
  try {
    fs.accessSync(KVM_DEVICE, fs.constants.R_OK | fs.constants.W_OK);
    return null;
  } catch {
    return `${KVM_DEVICE} may not be opened by this user`;
  }
}

/** A vCPU of the host's KVM, in this process. Throws E_MACHINE_CANNOT when there is no usable /dev/kvm. */
export function openHost(options: HostOptions = {}): VcpuTransport {
  const problem = hostKvmProblem();
  if (problem !== null) {
    const hint = /does not exist/.test(problem)
      ? 'Use --machine emulated.'
      : 'Add yourself to the group kvm, or use --machine emulated.';
    throw new RevenantError('E_MACHINE_CANNOT', `The host's KVM cannot be used: ${problem}.`, hint);
  }
  const poolMiB = poolSize(options.memoryMiB ?? DEFAULT_POOL_MIB);
  try {
    return nativeTransport('host', "the host's KVM", openNativeHost(poolMiB * 1024 * 1024));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The host's KVM cannot be used: no pool of ${poolMiB} MiB for guest memory (${reason}).`;
    throw new RevenantError('E_MACHINE_CANNOT', message, 'Use --machine emulated, or a smaller --memory.', {
      cause: error,
    });
  }
}
