/** Instructions of copies of code that several of its parts append. */
export const [INT3, JRCXZ, POPF] = [0xcc, 0xe3, 0x9d];
export const OPERAND_SIZE = 0x66;

/** The bytes of an immediate or a displacement. */
export const int32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >> shift) & 0xff);

/** Between a register and a field of the data page, whose displacement follows. */
export const STORE_RCX = [0x48, 0x89, 0x0d];
export const STORE_RAX = [0x48, 0x89, 0x05];
export const LOAD_RCX = [0x48, 0x8b, 0x0d];
export const LOAD_RAX = [0x48, 0x8b, 0x05];
