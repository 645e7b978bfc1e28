/** Fields of packets: hexadecimal numbers, bytes and text, and thread ids. */
import { nameBytes } from '../../engine/base/names.js';

/** An invalid request: answered with `E`, without ending the session. */
export class PacketError extends Error {
  /** @param errno as the reply's number; gdb only prints it */
  constructor(
    message: string,
    readonly errno = 22,
  ) {
    super(message);
  }
}

/** Replies that say no more than this. */
export const OK = 'OK';
/** The reply to an unknown packet: gdb then knows that it is not supported. */
export const UNSUPPORTED = '';

/** `text` only for clients that enabled it. */
export const errorReply = (errno: number, text = ''): string =>
  `E${errno.toString(16).padStart(2, '0')}${text === '' ? '' : `;${textToHex(text)}`}`;

/** An unsigned hexadecimal number of at most 64 bits. Throws PacketError. */
export function parseHex(text: string): bigint {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text))
    throw new PacketError(`not a hexadecimal number: ${JSON.stringify(text)}`);
  return BigInt(`0x${text}`);
}

/** An unsigned hexadecimal number below 2^53. Throws PacketError. */
export function parseCount(text: string): number {
  const value = parseHex(text);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new PacketError(`too large: 0x${text}`);
  return Number(value);
}

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

export const textToHex = (text: string): string => nameBytes(text).toString('hex');

/** Throws PacketError unless the text is pairs of hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw new PacketError('not pairs of digits');
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

export const latin1Bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

export const latin1Text = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** A 64-bit value as the target's bytes: little-endian. */
export function littleEndian(value: bigint, bytes = 8): string {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.toString('hex', 0, bytes);
}

/** `all`: -1; `any`: 0. */
export type IdPart = number | 'all' | 'any';

export interface ThreadId {
  /** Thread group; `any` where the client does not speak of processes. */
  readonly pid: IdPart;
  readonly tid: IdPart;
}

function parsePart(text: string): IdPart {
  if (text === '-1') return 'all';
  const value = parseCount(text);
  return value === 0 ? 'any' : value;
}

/** `p1a.2b`, `p1a`, `2b`, `-1`, `0`. Throws PacketError. */
export function parseThreadId(text: string): ThreadId {
  if (!text.startsWith('p')) return { pid: 'any', tid: parsePart(text) };
  const dot = text.indexOf('.');
  if (dot < 0) return { pid: parsePart(text.slice(1)), tid: 'all' };
  return { pid: parsePart(text.slice(1, dot)), tid: parsePart(text.slice(dot + 1)) };
}

export const formatThreadId = (pid: number, tid: number): string =>
  `p${pid.toString(16)}.${tid.toString(16)}`;

/** Splits at the first `separator`; without one the second part is ''. */
export function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/**
 * The requested part of a document, by `qXfer ... :read:ANNEX:OFFSET,LENGTH`: `m` if more follows, else `l`. `range` is
 * `OFFSET,LENGTH`.
 */
export function documentPart(document: string, range: string): string {
  const [offsetText, lengthText] = split(range, ',');
  const offset = parseCount(offsetText);
  const length = parseCount(lengthText);
  if (offset > document.length) throw new PacketError('read past the end');
  const part = document.slice(offset, offset + length);
  return (offset + part.length < document.length ? 'm' : 'l') + part;
}
