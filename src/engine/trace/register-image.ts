import type { RegisterWords } from '../base/registers.js';
import { Reg, REGISTERS_BYTES } from '../base/registers.js';
import type { ListRef, Message } from './capnp.js';
import { Arch } from './frame.js';

/** The kernel's i386 user_regs_struct, 17 words (arch/x86/include/asm/user_32.h), as our slots. */
const I386_ORDER: readonly number[] = [
  Reg.rbx,
  Reg.rcx,
  Reg.rdx,
  Reg.rsi,
  Reg.rdi,
  Reg.rbp,
  Reg.rax,
  Reg.ds,
  Reg.es,
  Reg.fs,
  Reg.gs,
  Reg.orig_rax,
  Reg.rip,
  Reg.cs,
  Reg.eflags,
  Reg.rsp,
  Reg.ss,
];
const I386_BYTES = I386_ORDER.length * 4;

/** Copies the register image in `list` to `into`; an i386 image is widened with zeros. */
export function readRegisters(message: Message, list: ListRef, arch: number, into: RegisterWords): void {
  const expected = arch === Arch.x86 ? I386_BYTES : REGISTERS_BYTES;
  if (list.count !== expected) message.fail(`registers have ${list.count} bytes, expected ${expected}`);
  const { words } = message;
  let from = list.start;
  if (arch !== Arch.x86) {
    // A loop: for 54 words it is faster than set() of a subarray, which allocates a view.
    for (let i = 0; i < into.length; i++) into[i] = words[from++];
    return;
  }
  into.fill(0);
  for (const slot of I386_ORDER) into[2 * slot] = words[from++];
}
