/** Numbers of the architecture that more than one part needs (Intel SDM). */

/** TF of eflags: a trap after the instruction (vol. 3, 17.3.1.4). */
export const EFLAGS_TRAP = 1 << 8;
/** RF of eflags: the instruction at rip runs despite a breakpoint on it (vol. 3, 17.3.1.1). */
export const EFLAGS_RESUME = 1 << 16;

/** BS of DR6: a single step. Bits of debug registers that are off may be set, too (vol. 3, 17.2.3). */
export const DR6_STEP = 1 << 14;

/** Exception vectors (vol. 3, table 6-1). */
export const Exception = {
  DE: 0,
  DB: 1,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  XM: 19,
} as const;

/** Bits of a page fault's error code (vol. 3, 4.7). */
export const PageFault = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16, key: 32 } as const;

/** Bytes of SYSCALL, SYSENTER and INT n. */
export const SYSCALL_LENGTH = 2;
/** The opcode of INT1, which raises #DB without a bit in DR6. */
export const INT1_OPCODE = 0xf1;
