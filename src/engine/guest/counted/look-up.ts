import type { Gva } from '../../base/address.js';
import type { Assembler } from './assembler.js';
import { Area, Fix, Leave, TABLE_BYTES } from './layout.js';
import { INT3, int32, JRCXZ, LOAD_RAX, LOAD_RCX, STORE_RAX, STORE_RCX } from './opcodes.js';

/**
 * Finds the copy of an indirect transfer's target, or leaves on the transfer. Behind it all registers are the program's
 * and `jump` and `target` are set.
 * @param area of the copies
 * @param address of the transfer
 * @param load appends what loads the target into rcx
 */
export function appendLookUp(code: Assembler, area: number, address: Gva, load: () => void): void {
  const field = (opcode: readonly number[], at: number, fix: number): void =>
    code.instruction(address, fix, opcode, area + at);
  const emit = (bytes: readonly number[], fix: number): void => code.instruction(address, fix, bytes);
  const both = Fix.rcx | Fix.rax;
  const hits: number[] = [];
  field(STORE_RCX, Area.rcx, Fix.none);
  code.mark(address, Fix.none);
  load();
  field(STORE_RCX, Area.target, Fix.rcx);
  field(STORE_RAX, Area.rax, Fix.rcx);
  for (const part of [0, 1]) {
    field([0x0f, 0xb7, 0x05], Area.target + part, both); // movzx eax, word [target + part]
    field([0x48, 0x8d, 0x0d], Area.tags, both); // lea rcx, [tags]
    emit([0x48, 0x8d, 0x04, 0xc1], both); // lea rax, [rcx+rax*8]
    emit([0x48, 0x8b, 0x88, ...int32(TABLE_BYTES)], both); // mov rcx, [rax+addresses-tags]
    field(STORE_RCX, Area.jump, both);
    field(LOAD_RCX, Area.target, both);
    emit([0x48, 0x8b, 0x00], both); // mov rax, [rax]
    emit([0x48, 0x8d, 0x0c, 0x01], both); // lea rcx, [rcx+rax]
    field(LOAD_RAX, Area.rax, both);
    emit([JRCXZ, 0], Fix.rcx);
    hits.push(code.length - 1);
  }
  field(LOAD_RCX, Area.rcx, Fix.rcx);
  code.mark(address, Fix.none, Leave.indirect);
  code.emit([INT3]);
  for (const hit of hits) code.patchShort(hit);
  field(LOAD_RCX, Area.rcx, Fix.rcx);
}
