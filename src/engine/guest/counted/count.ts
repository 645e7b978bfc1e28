import type { Gva } from '../../base/address.js';
import type { Assembler } from './assembler.js';
import { Area, Fix, Leave } from './layout.js';
import { INT3, JRCXZ, LOAD_RCX, STORE_RCX } from './opcodes.js';

/**
 * Before a conditional branch: one less is left. Flags, stack and registers stay as they are.
 * @param area of the copies
 * @param address of the branch
 * @returns for `appendWayOut`, less than 128 bytes behind this
 */
export function appendCount(code: Assembler, area: number, address: Gva): number {
  const field = (opcode: readonly number[], at: number, fix: number): void =>
    code.instruction(address, fix, opcode, area + at);
  field(STORE_RCX, Area.rcx, Fix.none);
  field(LOAD_RCX, Area.left, Fix.none);
  code.mark(address, Fix.rcx);
  code.emit([JRCXZ, 0]);
  const wayOut = code.length - 1;
  code.mark(address, Fix.rcx);
  code.emit([0x48, 0x8d, 0x49, 0xff]); // lea rcx, [rcx-1]
  field(STORE_RCX, Area.left, Fix.rcx);
  field(LOAD_RCX, Area.rcx, Fix.rcx | Fix.uncount);
  return wayOut;
}

/** Where nothing is left: out, before the branch. */
export function appendWayOut(code: Assembler, area: number, address: Gva, wayOut: number): void {
  code.patchShort(wayOut);
  code.mark(address, Fix.rcx);
  code.emit(LOAD_RCX);
  code.relative(area + Area.rcx);
  code.mark(address, Fix.none, Leave.limit);
  code.emit([INT3]);
}
