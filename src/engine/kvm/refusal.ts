/** What programs do that the process machine cannot have, by why their run ended. Pure. */
import { hex } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { ProcessReason } from './exit.js';
import type { VcpuTransport } from './transport.js';

/** As the control block has it after Exit.Failed. */
export interface Failure {
  readonly reason: number;
  readonly detail: bigint;
  readonly more: bigint;
}

const LOCAL_TABLE = 4n;
/** Slots of the global table that set_thread_area fills (GDT_ENTRY_TLS_MIN, arch/x86/include/asm/segment.h). */
const [FIRST_OWN, LAST_OWN] = [12n, 14n];
const [EPERM, EACCES] = [1n, 13n];

/**
 * E_MACHINE_CANNOT for what another machine can have; E_TRACE_CORRUPT for registers that no processor loads; null where the
 * machine itself is at fault.
 * @param who whose program it is, to begin a message with
 */
export function refusalOf(
  who: string,
  { reason, detail, more }: Failure,
  reserved: VcpuTransport['reserved'],
): RevenantError | null {
  if (reason === ProcessReason.segment) {
    const slot = detail >> 3n;
    if (more !== 0n || detail & LOCAL_TABLE || (slot >= FIRST_OWN && slot <= LAST_OWN))
      return cannot(
        `${who} has a segment of its own (selector ${hex(detail)}), which a process cannot have.`,
      );
    return new RevenantError(
      'E_TRACE_CORRUPT',
      `${who}: no program can load selector ${hex(detail)}.`,
      'The trace is damaged, or a debugger set the register so.',
    );
  }
  if (reason !== ProcessReason.unmappable) return null;
  if (reserved && detail >= BigInt(reserved.start) && detail < BigInt(reserved.end))
    return cannot(`${who} uses address ${hex(detail)}, where the process machine itself is.`);
  if (more === EPERM || more === EACCES)
    return cannot(
      `${who} uses address ${hex(detail)}, where this kernel lets no process have memory (vm.mmap_min_addr).`,
    );
  return null;
}

const cannot = (message: string): RevenantError =>
  new RevenantError('E_MACHINE_CANNOT', message, 'Use --machine emulated, or auto.', { elsewhere: true });
