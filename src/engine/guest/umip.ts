import { USER_END, type Gva, offsetBy } from '../base/address.js';
import type { RegisterWords } from '../base/registers.js';
import type { UmipAnswers } from '../kvm/cpuid.js';
import type { AddressSpace } from '../mm/address-space.js';
import { Prot } from '../mm/vma.js';
import { Insn, isUmipProtected, slotOf, type InstructionDecoder } from '../x86/decode.js';

/** How the kernel's answer ended; 'refused': the #GP is a signal. 'unwritable': SIGSEGV for the operand's address. */
export type UmipOutcome = 'answered' | 'refused' | 'unwritable';

/** CR0 as Linux sets it at boot (CR0_STATE). */
const CR0 = 0x8005_0033;
/** Selectors of the task state and of a local descriptor table. */
const TSS_SELECTOR = 0x40;
const LDT_SELECTOR = 0x50;
/** Low words of the dummy bases, whose high words are all ones; the limits are 0. */
const GDT_BASE = 0xfffe_0000;
const IDT_BASE = 0xffff_0000;

/**
 * Emulates an instruction that CR4.UMIP forbids as the recording kernel did
 * (arch/x86/kernel/umip.c, fixup_umip_exception). The results are the kernel's, not a processor's:
 * a register keeps its bits above the operand size, also for 32 bits. rip is unchanged.
 */
export function answerUmip(
  space: AddressSpace,
  registers: RegisterWords,
  decoder: InstructionDecoder,
  answers: UmipAnswers,
): UmipOutcome {
  const { kind } = decoder;
  if (!isUmipProtected(kind) || answers === 'nothing') return 'refused';
  if (answers === 'tables' && (kind === Insn.sldt || kind === Insn.str)) return 'refused';
  if (kind === Insn.sgdt || kind === Insn.sidt) {
    const table = new DataView(new ArrayBuffer(10));
    table.setUint32(2, kind === Insn.sgdt ? GDT_BASE : IDT_BASE, true);
    table.setUint32(6, 0xffff_ffff, true);
    return store(space, registers, decoder, new Uint8Array(table.buffer));
  }
  const value = valueOf(kind, space);
  if (decoder.hasMemory)
    return store(space, registers, decoder, Uint8Array.of(value & 0xff, (value >>> 8) & 0xff));
  const low = 2 * slotOf[decoder.immediate];
  registers[low] = decoder.operand16 ? (registers[low] & 0xffff_0000) | (value & 0xffff) : value;
  if (decoder.wide) registers[low + 1] = 0;
  return 'answered';
}

function valueOf(kind: Insn, { ldt }: AddressSpace): number {
  if (kind === Insn.smsw) return CR0;
  if (kind === Insn.str) return TSS_SELECTOR;
  return ldt ? LDT_SELECTOR : 0;
}

/** As copy_to_user: up to the first byte that the program may not write. */
function store(
  space: AddressSpace,
  registers: RegisterWords,
  decoder: InstructionDecoder,
  bytes: Uint8Array,
): UmipOutcome {
  const at = decoder.effectiveAddress(registers);
  let writable = 0;
  while (writable < bytes.length && isWritable(space, at, writable)) writable++;
  if (writable > 0) space.write(at, bytes.subarray(0, writable));
  return writable === bytes.length ? 'answered' : 'unwritable';
}

const isWritable = (space: AddressSpace, at: Gva, offset: number): boolean =>
  at >= 0 && at + offset < USER_END && space.allows(offsetBy(at, offset), 1, Prot.write);
