/**
 * Guest addresses.
 *
 * User-space addresses on x86-64 are below 2^47 (2^56 with five-level paging) and guest-physical
 * addresses index the pool, so both are exact in a double: they are branded `number`s, which cost
 * nothing in the hot path. Full 64-bit values (registers, non-canonical addresses) are `bigint` at
 * the edges and pairs of 32-bit words in typed arrays inside.
 */

declare const gvaBrand: unique symbol;
declare const gpaBrand: unique symbol;

/** Guest virtual address: what a task sees. Invariant: an integer in [0, 2^47). */
export type Gva = number & { readonly [gvaBrand]: true };

/** Guest physical address: an offset into the guest-physical pool. Invariant: an integer >= 0. */
export type Gpa = number & { readonly [gpaBrand]: true };

export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

/** First address above user space with four-level paging (Linux: TASK_SIZE_MAX + one guard page). */
export const USER_END = 0x8000_0000_0000;

const TWO_32 = 0x1_0000_0000;

export const gva = (value: number): Gva => value as Gva;
export const gpa = (value: number): Gpa => value as Gpa;

/** Not a user-space address. */
export const NO_ADDRESS = -1 as Gva;

/** The address `bytes` after one (or before, if negative). */
export const offsetBy = (address: Gva, bytes: number): Gva => (address + bytes) as Gva;

/** A number that a program or a trace gave as an address, or NO_ADDRESS when it is not a user-space address. */
export const userAddress = (value: number): Gva =>
  value >= 0 && value < USER_END ? (value as Gva) : NO_ADDRESS;

/** The 64-bit value in two little-endian words as a number; exact below 2^53. */
export function wordsToNumber(low: number, high: number): number {
  return (high >>> 0) * TWO_32 + (low >>> 0);
}

/** The address in two words, or NO_ADDRESS when it is not a user-space address (kernel half, non-canonical). */
export function wordsToGva(low: number, high: number): Gva {
  const value = wordsToNumber(low, high);
  return (value < USER_END ? value : -1) as Gva;
}

/** Low and high 32-bit words of a non-negative integer below 2^53. */
export const lowWord = (value: number): number => (value % TWO_32) >>> 0;
export const highWord = (value: number): number => Math.floor(value / TWO_32);

/** Rounds down to a page boundary. `%` rather than `&`: addresses exceed 32 bits. */
export const pageFloor = <T extends number>(value: T): T => (value - (value % PAGE_SIZE)) as T;

/** Rounds up to a page boundary. */
export const pageCeil = <T extends number>(value: T): T => {
  const rest = value % PAGE_SIZE;
  return (rest === 0 ? value : value - rest + PAGE_SIZE) as T;
};

/** `0x` and lower-case hexadecimal. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
