/** Leases of emulated machines. */
import { RevenantError } from '../engine/base/errors.js';
import type { NativeHandle } from '../engine/kvm/native.js';
import { openMailbox } from '../engine/kvm/native.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import { nativeTransport } from '../engine/kvm/transport.js';
import type { EmulatedOptions } from './launch.js';
import { configure, startKeeper } from './launch.js';

export type { EmulatedOptions } from './launch.js';
export type { MachineStatus } from './keeper-client.js';
export { machineStatus as status, stopMachines as stop } from './keeper-client.js';

/** More machines at once than anybody's processors can run. */
const MAX_MACHINES = 32;
/** How often a name may be lost to another process between its start and our lease. */
const MAX_TRIES = 4;

/** Leases the vCPU of the keeper at this name, if there is one and it is free. */
function lease(name: string): NativeHandle | 'busy' | 'absent' {
  try {
    return openMailbox(name);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // EACCES: another user has taken the name; EPROTO: something else has.
    if (code === 'EBUSY' || code === 'EACCES' || code === 'EPROTO') return 'busy';
    if (code === 'ECONNREFUSED') return 'absent';
    throw error;
  }
}

/**
 * Leases the vCPU of an emulated machine of this configuration: of one that runs and is free, else of
 * one started now. Its memory is zero. `close()` of the transport, or our death, gives it back.
 *
 * Throws E_MACHINE_START: a part is missing (with the line to run), or it does not come up.
 */
export async function acquireEmulated(options: EmulatedOptions = {}): Promise<VcpuTransport> {
  const configuration = configure(options);
  for (let index = 0; index < MAX_MACHINES; ++index) {
    const name = `${configuration.baseName}-${index}`;
    for (let tries = 0; tries < MAX_TRIES; ++tries) {
      const leased = lease(name);
      if (leased === 'busy') break;
      if (leased !== 'absent')
        return nativeTransport('emulated', `QEMU emulator, ${configuration.cpu}`, leased);
      if (tries === 0) options.onStarting?.(`starting the emulated machine (${configuration.cpu})`);
      await startKeeper(configuration, name);
    }
  }
  throw new RevenantError('E_MACHINE_START', `All ${MAX_MACHINES} emulated machines are in use.`);
}
