/**
 * The general registers of a task, in the order of the kernel's x86-64 `user_regs_struct`
 * (arch/x86/include/asm/user_64.h): 27 64-bit registers, here as 54 little-endian 32-bit words.
 *
 * The same layout is used by frames of a trace, by the context page that the ring-0 stub saves to
 * (native/kvm/ring0/layout.h, "must match") and by tasks that are not on the vCPU, so that moving
 * registers between them is one `set`.
 */

import { wordsToGva, type Gva } from './address.js';

// prettier-ignore
export const REGISTER_NAMES = [
  'r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi',
  'rdi', 'orig_rax', 'rip', 'cs', 'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs',
] as const;

export type RegisterName = (typeof REGISTER_NAMES)[number];

/** Index of each register's 64-bit slot; its low word is at `2 * slot`, its high word one after. */
// prettier-ignore
export const Reg = {
  r15: 0, r14: 1, r13: 2, r12: 3, rbp: 4, rbx: 5, r11: 6, r10: 7, r9: 8, r8: 9, rax: 10, rcx: 11,
  rdx: 12, rsi: 13, rdi: 14, orig_rax: 15, rip: 16, cs: 17, eflags: 18, rsp: 19, ss: 20,
  fs_base: 21, gs_base: 22, ds: 23, es: 24, fs: 25, gs: 26,
} as const satisfies Record<RegisterName, number>;

export const REGISTER_COUNT = 27;
/** Size of a register image in bytes, as frames store it. */
export const REGISTERS_BYTES = REGISTER_COUNT * 8;

/** A register image: `REGISTER_COUNT` * 2 little-endian words. */
export type RegisterWords = Uint32Array;

export const newRegisters = (): RegisterWords => new Uint32Array(REGISTER_COUNT * 2);

/** The register as an unsigned 64-bit bigint. For edges (reports, debuggers), not for hot paths. */
export function getRegister(words: RegisterWords, slot: number): bigint {
  return (BigInt(words[2 * slot + 1]) << 32n) | BigInt(words[2 * slot]);
}

/** Stores the low 64 bits of `value`. */
export function setRegister(words: RegisterWords, slot: number, value: bigint): void {
  words[2 * slot] = Number(value & 0xffff_ffffn);
  words[2 * slot + 1] = Number((value >> 32n) & 0xffff_ffffn);
}

/** The register as a signed number; exact for |value| < 2^53, which covers system call results. */
export function getSigned(words: RegisterWords, slot: number): number {
  return (words[2 * slot + 1] | 0) * 0x1_0000_0000 + words[2 * slot];
}

/** The register as an unsigned number; exact below 2^53 (user addresses, lengths that make sense). */
export function getUnsigned(words: RegisterWords, slot: number): number {
  return words[2 * slot + 1] * 0x1_0000_0000 + words[2 * slot];
}

/** The instruction pointer, or -1 where it is not a user-space address. */
export const ripOf = (words: RegisterWords): Gva => wordsToGva(words[2 * Reg.rip], words[2 * Reg.rip + 1]);

/** Stores a signed integer with |value| < 2^53. */
export function setSigned(words: RegisterWords, slot: number, value: number): void {
  words[2 * slot] = value >>> 0;
  words[2 * slot + 1] = Math.floor(value / 0x1_0000_0000) >>> 0;
}
