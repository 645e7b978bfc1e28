/** The engine's access to a vCPU: by the host's KVM, in a process, in the emulated machine. Callers do not depend on which. */
import os from 'node:os';
import { RevenantError } from '../base/errors.js';
import type { Gva } from '../base/address.js';
import type { NativeHandle } from './native.js';

export type TransportKind = 'host' | 'process' | 'emulated';

/** What people call them. */
export const TRANSPORT_TITLES: Readonly<Record<TransportKind, string>> = {
  host: "the host's KVM",
  process: 'the process machine',
  emulated: 'the emulated machine',
};

export interface VcpuTransport {
  readonly kind: TransportKind;
  /** For people, such as "QEMU emulator, EPYC-Rome,+pku". */
  readonly description: string;
  /** Control block, ring 0 and guest memory. Detached by close(). */
  readonly pool: ArrayBuffer;
  /** Addresses that programs cannot use, because the machine is there; null: none. */
  readonly reserved: { readonly start: Gva; readonly end: Gva } | null;
  /** Performs the command in the control block; 0 or a positive errno. Throws E_MACHINE_LOST. */
  execute(): number;
  /**
   * Starts or continues a run; true = the guest exited, false = still running after budgetMicros
   * (call again, use nothing else but kick). The host's vCPU checks the clock only every 20 ms.
   * Throws E_MACHINE_LOST.
   */
  run(budgetMicros: number): boolean;
  /** The processor's event counter for this guest; results as NativeHandle's. */
  readonly counter: Pick<NativeHandle, 'openCounter' | 'readCounter' | 'armCounter'>;
  /** Ends the run in progress soon, as interrupted. */
  kick(): void;
  /** Releases the vCPU. May be called again. */
  close(): void;
}

const errnoNames = new Map(
  Object.entries(os.constants.errno).map(([name, number]) => [number as number, name]),
);

/** "EINVAL" for 22. */
export const errnoName = (errno: number): string => errnoNames.get(errno) ?? `errno ${errno}`;

const { EPIPE } = os.constants.errno;

/** The transport over a handle of the addon. */
export function nativeTransport(
  kind: VcpuTransport['kind'],
  description: string,
  handle: NativeHandle,
  reserved: VcpuTransport['reserved'] = null,
): VcpuTransport {
  const lost = (errno: number): RevenantError =>
    new RevenantError(
      'E_MACHINE_LOST',
      errno === EPIPE
        ? `The machine (${description}) was lost.`
        : `The machine (${description}) failed: ${errnoName(errno)}.`,
      kind === 'emulated' ? 'Its emulator may have been killed; run the command again.' : undefined,
    );
  return {
    kind,
    description,
    pool: handle.pool,
    reserved,
    execute() {
      const result = -handle.execute();
      if (result === EPIPE) throw lost(result);
      return result === 0 ? 0 : result;
    },
    run(budgetMicros) {
      const result = handle.run(budgetMicros);
      if (result < 0) throw lost(-result);
      return result === 1;
    },
    counter: handle,
    kick: () => handle.kick(),
    close: () => handle.close(),
  };
}
