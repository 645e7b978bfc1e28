import type { Gva } from '../../base/address.js';
import type { Assembler } from './assembler.js';
import { Area, Fix, Leave } from './layout.js';
import { INT3, JRCXZ, LOAD_RCX, OPERAND_SIZE, POPF, STORE_RCX } from './opcodes.js';

/** The second byte of what a program usually pops: interrupts are enabled; and beside that an overflow. */
const [ENABLED, OVERFLOW] = [0x02, 0x08];

/**
 * Appends POPF, executed if what it pops has no trap flag, nor anything else that is rare: else the copy leaves. Flags stay as
 * they are until then, because the stack may not be there.
 * @param area of the copies
 * @param address of the instruction
 * @param isShort it pops 16 bits
 */
export function appendPopFlags(code: Assembler, area: number, address: Gva, isShort: boolean): void {
  const emit = (fix: number, bytes: readonly number[]): void => code.instruction(address, fix, bytes);
  const field = (opcode: readonly number[], at: number, fix: number): void =>
    code.instruction(address, fix, opcode, area + at);
  const usual: number[] = [];
  field(STORE_RCX, Area.rcx, Fix.none);
  // movzx ecx, word [rsp]; or mov rcx, [rsp]
  emit(Fix.none, isShort ? [0x0f, 0xb7, 0x0c, 0x24] : [0x48, 0x8b, 0x0c, 0x24]);
  field(STORE_RCX, Area.target, Fix.rcx);
  field([0x0f, 0xb6, 0x0d], Area.target + 1, Fix.rcx); // movzx ecx, byte [target+1]
  for (const bits of [ENABLED, OVERFLOW]) {
    emit(Fix.rcx, [0x48, 0x8d, 0x49, 0x100 - bits]); // lea rcx, [rcx-bits]
    emit(Fix.rcx, [JRCXZ, 0]);
    usual.push(code.length - 1);
  }
  field(LOAD_RCX, Area.rcx, Fix.rcx);
  code.mark(address, Fix.none, Leave.odd);
  code.emit([INT3]);
  for (const at of usual) code.patchShort(at);
  field(LOAD_RCX, Area.rcx, Fix.rcx);
  emit(Fix.none, isShort ? [OPERAND_SIZE, POPF] : [POPF]);
}
