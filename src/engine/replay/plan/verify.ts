import { Reg, REGISTER_NAMES, type RegisterWords } from '../../base/registers.js';

/** Word indices that are compared bit for bit (rr: Registers.cc, compare_registers_core; rr-traces.md 3.2). */
const COMPARED_WORDS: readonly number[] = [
  Reg.rax,
  Reg.rbx,
  Reg.rcx,
  Reg.rdx,
  Reg.rsi,
  Reg.rdi,
  Reg.rbp,
  Reg.r8,
  Reg.r9,
  Reg.r10,
  Reg.r11,
  Reg.r12,
  Reg.r13,
  Reg.r14,
  Reg.r15,
  Reg.rip,
  Reg.fs_base,
  Reg.gs_base,
]
  .flatMap((slot) => [2 * slot, 2 * slot + 1])
  .concat([2 * Reg.fs, 2 * Reg.gs]);

const ORIG_RAX_LOW = 2 * Reg.orig_rax;
const ORIG_RAX_HIGH = ORIG_RAX_LOW + 1;

/** True if the registers agree as rr would compare them: not rsp, flags, cs, ss, ds, es; orig_rax only if both are >= 0. */
export function registersMatch(recorded: RegisterWords, found: RegisterWords): boolean {
  for (let i = 0; i < COMPARED_WORDS.length; i++) {
    const word = COMPARED_WORDS[i];
    if (recorded[word] !== found[word]) return false;
  }
  if ((recorded[ORIG_RAX_HIGH] | found[ORIG_RAX_HIGH]) & 0x8000_0000) return true;
  return recorded[ORIG_RAX_LOW] === found[ORIG_RAX_LOW] && recorded[ORIG_RAX_HIGH] === found[ORIG_RAX_HIGH];
}

/** Registers that RDTSC, RDTSCP or CPUID writes, and rip, which moves past it. */
const TRAP_OUTPUTS: ReadonlySet<number> = new Set([Reg.rax, Reg.rbx, Reg.rcx, Reg.rdx, Reg.rip]);
const TRAP_WORDS = COMPARED_WORDS.filter((word) => !TRAP_OUTPUTS.has(word >> 1));

/** True if the registers that a trapped instruction does not change agree: found before it, recorded after it. */
export function trapMatches(recorded: RegisterWords, found: RegisterWords): boolean {
  for (let i = 0; i < TRAP_WORDS.length; i++) {
    if (recorded[TRAP_WORDS[i]] !== found[TRAP_WORDS[i]]) return false;
  }
  return true;
}

/** Like `registersMatch` but also with rsp: evidence for landing an asynchronous event. */
export function stateMatches(recorded: RegisterWords, found: RegisterWords): boolean {
  return (
    recorded[2 * Reg.rsp] === found[2 * Reg.rsp] &&
    recorded[2 * Reg.rsp + 1] === found[2 * Reg.rsp + 1] &&
    registersMatch(recorded, found)
  );
}

/** Names of the registers that differ as `registersMatch` compares them. For reports. */
export function differingRegisters(recorded: RegisterWords, found: RegisterWords): string[] {
  const names = new Set<string>();
  for (const word of COMPARED_WORDS) {
    if (recorded[word] !== found[word]) names.add(REGISTER_NAMES[word >> 1]);
  }
  if (names.size === 0 && !registersMatch(recorded, found)) names.add('orig_rax');
  return [...names];
}
