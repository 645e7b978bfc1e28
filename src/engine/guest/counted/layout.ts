/**
 * An area: where the copies of code are executed from, in the address space of the program they are of, out of its
 * sight. Offsets of its parts; the data page and the tables are the same pages in every area of an address space.
 */
export const Area = {
  /** Data: what the copies keep while they count and look up. u64 each. */
  rcx: 0x00,
  rax: 0x08,
  /** Where an indirect transfer goes, in the program. */
  target: 0x10,
  /** The same, in the copy. */
  jump: 0x18,
  /** Conditional branches that may still be executed; signed, -1 where one more was counted. */
  left: 0x20,
  /** The program's, while a check runs: rsp, and below the end of the page what it pushes. */
  stack: 0x28,
  /** The program's value of the register that counts in a loop. */
  spare: 0x30,
  /** CF, as a byte, while that register gets more. */
  carry: 0x38,
  /** Of each piece of watched memory what was there last, and that negated. */
  watched: 0x100,
  checkRdx: 0xfe0,
  checkRcx: 0xfe8,
  checkRax: 0xff0,
  flags: 0xff8,
  checkStack: 0x1000,
  /** Negated addresses of the program's, by `slotsOf`; 0: none. */
  tags: 0x1000,
  /** Where their copies are; 0: nowhere. */
  addresses: 0x8_1000,
  code: 0x10_1000,
  size: 0x100_0000,
} as const;

/** Bytes of the one table and of the other. */
export const TABLE_BYTES = Area.addresses - Area.tags;

/** Which two entries of the tables an address may be in: the copies find them by 16-bit loads. */
export const slotsOf = (address: number): readonly [number, number] => [
  address % 0x1_0000,
  Math.floor(address / 0x100) % 0x1_0000,
];

export const NEGATED = 8;
export const watchedField = (piece: number): number => Area.watched + 16 * piece;

/**
 * What is to be done to have the program's registers where a copy was left, as bits, beside setting rip. The copies of
 * most instructions need nothing.
 */
export const Fix = {
  none: 0,
  /** rcx, rax from the data page. */
  rcx: 1,
  rax: 2,
  /** rip is `Area.target`. */
  target: 4,
  /** The branch was counted but not executed. */
  uncount: 8,
  /** In a check: rsp; and rflags, rax, rcx and rdx. */
  stack: 0x10,
  scratch: 0x20,
  /** Between two instructions: the flags are no more those of before, and not yet those of after the next. */
  flags: 0x40,
  /** Where it is found out whether watched memory has changed. */
  watch: 0x80,
  /** In a loop: the register that counts, whose `Reg` is in the mark, is to be restored from the data page. */
  spare: 0x100,
  /** What that register holds is left, beside `Area.left`. */
  counter: 0x200,
} as const;

/** In a mark: `Fix` in the low bits, `Leave` above them, and the register of `Fix.spare` above that. */
export const LEAVE_SHIFT = 10;
export const LEAVE_MASK = 7;
export const REGISTER_SHIFT = 13;

/** Why a copy leaves by INT3; 0 where it does not. */
export const Leave = {
  none: 0,
  /** A direct transfer, or what follows, has no copy yet. */
  direct: 1,
  /** Of the target of an indirect transfer no copy was found. */
  indirect: 2,
  /** `Area.left` is 0, before a conditional branch. */
  limit: 3,
  /** A stop that was asked for. */
  stop: 4,
  /** An instruction that is not executed from a copy. */
  odd: 5,
  /** Watched memory has changed, and a predicate holds. */
  watch: 6,
} as const;
export type Leave = (typeof Leave)[keyof typeof Leave];
