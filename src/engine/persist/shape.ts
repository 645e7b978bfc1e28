/** Parsing of untrusted values: every value is checked before it is used. */
import { PAGE_SIZE, USER_END, type Gva, gva } from '../base/address.js';

/** A file that is not a checkpoint, or a damaged one; the message is part of a sentence. */
export class Damaged extends Error {}

type Fields = Readonly<Record<string, unknown>>;

export function damaged(what: string): never {
  throw new Damaged(what);
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    damaged(`${what} is not an object`);
  return value as Fields;
}

export function list<T>(value: unknown, what: string, item: (value: unknown) => T): T[] {
  if (!Array.isArray(value)) damaged(`${what} is not a list`);
  return value.map(item);
}

export function pair<A, B>(
  value: unknown,
  what: string,
  first: (value: unknown) => A,
  second: (value: unknown) => B,
): [A, B] {
  if (!Array.isArray(value) || value.length !== 2) damaged(`${what} is not a pair`);
  return [first(value[0]), second(value[1])];
}

export function integer(value: unknown, what: string, from = 0, to = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < from || (value as number) > to)
    damaged(`${what} is ${String(value).slice(0, 40)}`);
  return value as number;
}

/** Clocks and the like. */
export function finite(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) damaged(`${what} is not a number`);
  return value;
}

export function boolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') damaged(`${what} is not a boolean`);
  return value;
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string') damaged(`${what} is not a string`);
  return value;
}

export function oneOf<T extends string | number>(value: unknown, what: string, values: readonly T[]): T {
  if (!values.includes(value as T)) damaged(`${what} is ${String(value).slice(0, 40)}`);
  return value as T;
}

export const orNull = <T>(value: unknown, read: (value: unknown) => T): T | null =>
  value === null ? null : read(value);

/** `0x` and hexadecimal digits. */
export function big(value: unknown, what: string): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(value))
    damaged(`${what} is not a 64-bit number`);
  return BigInt(value);
}

export const address = (value: unknown, what: string): Gva => gva(integer(value, what, 0, USER_END));

export function pageAddress(value: unknown, what: string): Gva {
  const at = address(value, what);
  if (at % PAGE_SIZE !== 0) damaged(`${what} is not on a page`);
  return at;
}

/** Base64. */
export function bytes(value: unknown, what: string, length?: number): Uint8Array {
  const decoded = new Uint8Array(Buffer.from(text(value, what), 'base64'));
  if (length !== undefined && decoded.length !== length) damaged(`${what} has ${decoded.length} bytes`);
  return decoded;
}

export const words = (value: unknown, what: string, length: number): Uint32Array =>
  new Uint32Array(bytes(value, what, length * 4).buffer);

export const toBase64 = (data: Uint8Array | Uint32Array): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');

export const toBig = (value: bigint): string => `0x${value.toString(16)}`;
