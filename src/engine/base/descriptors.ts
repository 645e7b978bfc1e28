/**
 * Segment descriptors that programs make for themselves, from `struct user_desc` (arch/x86/include/uapi/asm/ldt.h)
 * to the eight bytes that the processor reads (Intel SDM vol. 3, 3.4.5).
 *
 *   user_desc: entry_number u32, base_addr u32, limit u32, then bits: seg_32bit 0, contents 1-2,
 *   read_exec_only 3, limit_in_pages 4, seg_not_present 5, useable 6, lm 7
 */

export const USER_DESC_BYTES = 16;

const Flag = {
  seg32: 1,
  contents: 6,
  readOnly: 8,
  inPages: 16,
  notPresent: 32,
  useable: 64,
  long: 128,
} as const;
/** read_exec_only and seg_not_present: with all else zero, how programs say "no descriptor". */
const EMPTY_FLAGS = Flag.readOnly | Flag.notPresent;

const CODE_OR_DATA = 1 << 12;
const ACCESSED = 1 << 8;
const PRIVILEGE_3 = 3 << 13;

export interface UserDesc {
  readonly entry: number;
  readonly base: number;
  readonly limit: number;
  readonly flags: number;
}

/** A descriptor's low and high word; both zero: none. */
export type Descriptor = readonly [low: number, high: number];

const NONE: Descriptor = [0, 0];

/** @param bytes at least USER_DESC_BYTES */
export function readUserDesc(bytes: Uint8Array): UserDesc {
  const view = new DataView(bytes.buffer, bytes.byteOffset, USER_DESC_BYTES);
  return {
    entry: view.getUint32(0, true),
    base: view.getUint32(4, true),
    limit: view.getUint32(8, true),
    flags: view.getUint32(12, true) & 0xff,
  };
}

/**
 * As Linux's fill_ldt() does: present as requested, privilege 3, the accessed bit set, never 64-bit code.
 * @param by the system call. The first form of modify_ldt ignores `useable`, and each call encodes an empty
 * descriptor differently.
 */
export function encodeDescriptor({ base, limit, flags }: UserDesc, by: 'ldt' | 'oldLdt' | 'tls'): Descriptor {
  const old = by === 'oldLdt';
  const none = old || flags === EMPTY_FLAGS || (by === 'tls' && flags === 0);
  if (base === 0 && limit === 0 && none) return NONE;
  const type = ((flags & Flag.readOnly ? 0 : 2) | ((flags & Flag.contents) << 1)) << 8;
  let high = (base & 0xff00_0000) | ((base >>> 16) & 0xff) | (limit & 0xf_0000);
  high |= type | ACCESSED | CODE_OR_DATA | PRIVILEGE_3;
  if (!(flags & Flag.notPresent)) high |= 1 << 15;
  if (flags & Flag.useable && !old) high |= 1 << 20;
  if (flags & Flag.seg32) high |= 1 << 22;
  if (flags & Flag.inPages) high |= 1 << 23;
  return [((limit & 0xffff) | (base << 16)) >>> 0, high >>> 0];
}

/** Whether a selector of this descriptor can be put into ds, es, fs or gs by a program: present, data or readable code. */
export function isLoadable([, high]: Descriptor): boolean {
  const execOnly = (high & (1 << 11)) !== 0 && (high & (1 << 9)) === 0;
  return (high & (1 << 15)) !== 0 && (high & CODE_OR_DATA) !== 0 && !execOnly;
}
