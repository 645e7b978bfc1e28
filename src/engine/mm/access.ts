import { hex, type Gva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { PageFault } from '../x86/constants.js';
import { Prot } from './vma.js';

/** Whether a mapping's protection allows the access that faulted. */
export function isAllowed(prot: number, errorCode: number): boolean {
  if (errorCode & PageFault.write) return (prot & Prot.write) !== 0;
  if (errorCode & PageFault.fetch) return (prot & Prot.exec) !== 0;
  return prot !== 0;
}

/** The trace names memory that is not there. */
export function unmapped(at: Gva, size: number, what: string, verb: string): RevenantError {
  return new RevenantError(
    'E_TRACE_CORRUPT',
    `Cannot ${verb} ${size} bytes at ${hex(at)} (${what}): nothing is mapped there.`,
    'The trace names memory that the program never mapped: it is damaged, or the replay has gone wrong before.',
  );
}
