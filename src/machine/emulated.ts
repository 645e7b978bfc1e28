/** Leases of emulated machines. */
import { RevenantError } from '../engine/base/errors.js';
import type { NativeHandle } from '../engine/kvm/native.js';
import { openMailbox } from '../engine/kvm/native.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import { nativeTransport } from '../engine/kvm/transport.js';
import { usersText } from './holders.js';
import { machineStatus } from './keeper-client.js';
import type { Configuration, EmulatedOptions } from './launch.js';
import { configure, startKeeper } from './launch.js';

export type { EmulatedOptions } from './launch.js';
export type { MachineStatus } from './keeper-client.js';
export {
  machineStatus as status,
  stopIdleMachines as stopIdle,
  stopMachines as stop,
} from './keeper-client.js';

/** Limit of machines: more than any computer can run in parallel. */
const MAX_MACHINES = 32;
/** Retries when another process takes the name between the start and our lease. */
const MAX_TRIES = 4;

/** Interval of polling processes that have a machine, or start one. */
const LOOK_AGAIN_MS = 1000;

/** Leases the vCPU of the keeper at this name, if there is one and it is free. Throws E_SYSTEM. */
function lease(name: string, poolMiB: number): NativeHandle | 'busy' | 'absent' {
  try {
    return openMailbox(name);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // EACCES: another user has taken the name; EPROTO: something else has.
    if (code === 'EBUSY' || code === 'EACCES' || code === 'EPROTO') return 'busy';
    if (code === 'ECONNREFUSED') return 'absent';
    if (code !== 'ENOMEM') throw error;
    throw new RevenantError(
      'E_SYSTEM',
      `This process has no address space for the ${poolMiB} MiB of the machine's memory.`,
      'Most of it is never used, but is mapped: check `ulimit -v`, and limits of the container.',
      { cause: error },
    );
  }
}

/**
 * Leases the vCPU of an emulated machine of this configuration: of a running, free one, else of a
 * new one. Its memory is zero. `close()` of the transport, or the end of this process, releases it.
 * Waits while all are in use, or while as many start as there are processors; `onStarting` gets
 * their users.
 *
 * Throws E_MACHINE_START: a part is missing (with the line to run), or it does not come up;
 * E_SYSTEM: this process has no address space for its memory.
 */
export async function acquireEmulated(options: EmulatedOptions = {}): Promise<VcpuTransport> {
  const configuration = configure(options);
  for (let waits = 0; ; ++waits) {
    for (let index = 0; index < MAX_MACHINES; ++index) {
      const transport = await acquireAt(`${configuration.baseName}-${index}`, configuration, options);
      if (transport) return transport;
    }
    if (waits === 0) options.onStarting?.(`waiting for a machine: ${usersText(machineStatus())}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Starts a machine and waits until it serves: a lease that is released immediately. Throws as `acquireEmulated`. */
export async function startEmulated(options: EmulatedOptions): Promise<void> {
  (await acquireEmulated(options)).close();
}

/** The machine of one name, or null if another process has it. */
async function acquireAt(
  name: string,
  configuration: Configuration,
  options: EmulatedOptions,
): Promise<VcpuTransport | null> {
  for (let tries = 0; tries < MAX_TRIES; ++tries) {
    const leased = lease(name, configuration.poolMiB);
    if (leased === 'busy') return null;
    if (leased !== 'absent')
      return nativeTransport('emulated', `QEMU emulator, ${configuration.cpu}`, leased);
    if (tries === 0) options.onStarting?.(`starting the emulated machine (${configuration.cpu})`);
    const watch = setInterval(() => {
      const machines = machineStatus();
      if (machines.find((machine) => machine.name === name)?.state !== 'queued') return;
      clearInterval(watch);
      const others = machines.filter((machine) => machine.name !== name && machine.state === 'starting');
      options.onStarting?.(`waiting for a machine: ${usersText(others)}`);
    }, LOOK_AGAIN_MS);
    await startKeeper(configuration, name).finally(() => clearInterval(watch));
  }
  return null;
}
