/** Requests on memory and registers. */
import { gva, PAGE_SIZE, USER_END } from '../../engine/base/address.js';
import {
  fromHex,
  latin1Bytes,
  latin1Text,
  OK,
  PacketError,
  parseCount,
  parseHex,
  split,
  toHex,
} from '../packet/fields.js';
import { noteMemory, writingRegisters } from '../calls.js';
import { nextTurn } from '../../recording/stops.js';
import type { Session } from '../session.js';

/** Most bytes that one request reads; gdb requests less than a packet, others may request any size. */
const MAX_READ = 0x20000;
/** Bytes of memory that a search reads at a time. */
const SEARCH_CHUNK = 0x10000;
const EFAULT = 14;
const EINTR = 4;
const PAGE = BigInt(PAGE_SIZE);

/** Up to `length` bytes from `address`; fewer where memory ends. */
function read(session: Session, address: bigint, length: number): Uint8Array {
  if (address >= BigInt(USER_END)) return new Uint8Array(0);
  const room = USER_END - Number(address);
  const bytes = new Uint8Array(Math.min(length, MAX_READ, room));
  const { tid, pid } = session.currentTask();
  const ours = session.diversion ? null : session.allocations.at(pid, Number(address));
  if (ours) return ours.slice(0, bytes.length);
  const found = bytes.subarray(0, session.target.readMemory(tid, gva(Number(address)), bytes));
  showBetween(session, Number(address), found);
  return found;
}

/** At a stop between two hits of a watchpoint gdb is to see what was there then (`resume.ts`). */
function showBetween({ between }: Session, address: number, bytes: Uint8Array): void {
  between?.bytes.forEach((byte, index) => {
    const at = between.address + index - address;
    if (at >= 0 && at < bytes.length) bytes[at] = byte;
  });
}

function place(text: string): { address: bigint; length: number } {
  const [address, length] = split(text, ',');
  return { address: parseHex(address), length: parseCount(length) };
}

function readOrFail(session: Session, text: string): Uint8Array {
  const { address, length } = place(text);
  const bytes = read(session, address, length);
  if (bytes.length === 0 && length > 0)
    throw new PacketError(`no memory at 0x${address.toString(16)}`, EFAULT);
  return bytes;
}

/** `m ADDRESS,LENGTH` */
export const readMemory = (session: Session, text: string): string => toHex(readOrFail(session, text));

/** `x ADDRESS,LENGTH`: the same in binary. */
export const readMemoryBinary = (session: Session, text: string): string =>
  `b${latin1Text(readOrFail(session, text))}`;

function write(session: Session, address: bigint, bytes: Uint8Array): string {
  // gdb probes for `X` with this.
  if (bytes.length === 0) return OK;
  if (address >= BigInt(USER_END)) throw new PacketError('not a user-space address', EFAULT);
  const { tid, pid } = session.currentTask();
  const ours = session.allocations.at(pid, Number(address));
  if (ours && ours.length >= bytes.length && !session.diversion) {
    ours.set(bytes);
    return OK;
  }
  const diversion = session.divertForWrite();
  const written = diversion.target.writeMemory(tid, gva(Number(address)), bytes);
  if (!ours) noteMemory(diversion, tid, Number(address), written);
  if (written < bytes.length) throw new PacketError(`${written} bytes were written`, EFAULT);
  return OK;
}

/** `M ADDRESS,LENGTH:HEX` */
export function writeMemory(session: Session, text: string): string {
  const [head, data] = split(text, ':');
  return write(session, place(head).address, fromHex(data));
}

/** `X ADDRESS,LENGTH:BINARY` */
export function writeMemoryBinary(session: Session, text: string): string {
  const [head, data] = split(text, ':');
  return write(session, place(head).address, latin1Bytes(data));
}

/**
 * `qSearch:memory:ADDRESS;LENGTH;PATTERN`: `1,ADDRESS` of the first match, or `0`. Unmapped ranges
 * are skipped: all memory can be searched in one request.
 */
export async function searchMemory(session: Session, text: string): Promise<string> {
  const [addressText, rest] = split(text, ';');
  const [lengthText, patternText] = split(rest, ';');
  const start = parseHex(addressText);
  const end = start + parseHex(lengthText);
  const pattern = Buffer.from(latin1Bytes(patternText));
  if (pattern.length === 0 || pattern.length > SEARCH_CHUNK) throw new PacketError('no such pattern');
  session.interruptRequested = false;
  for (const area of mappedAreas(session)) {
    const from = start > area.start ? start : BigInt(area.start);
    const found = await searchArea(session, from, end < area.end ? end : BigInt(area.end), pattern);
    if (found !== null) return `1,${found.toString(16)}`;
  }
  return '0';
}

interface Area {
  readonly start: number;
  end: number;
}

/** Contiguously mapped ranges of the current task, in order, including a client's allocations. */
function mappedAreas(session: Session): readonly Area[] {
  const { tid, pid } = session.currentTask();
  const areas: Area[] = [];
  const parts = [
    ...session.target.mappings(tid),
    ...(session.diversion ? [] : session.allocations.of(pid)),
  ].sort((one, other) => one.start - other.start);
  for (const { start, end } of parts) {
    const last = areas.at(-1);
    if (last && start <= last.end) last.end = Math.max(last.end, end);
    else areas.push({ start, end });
  }
  return areas;
}

/** Where a pattern begins in [start, end), or null. Pages of a mapped file past its end cannot be read. */
async function searchArea(
  session: Session,
  start: bigint,
  end: bigint,
  pattern: Buffer,
): Promise<bigint | null> {
  const size = BigInt(pattern.length);
  for (let at = start; at + size <= end;) {
    const wanted = end - at < BigInt(SEARCH_CHUNK) ? Number(end - at) : SEARCH_CHUNK;
    const bytes = read(session, at, wanted);
    const found = Buffer.from(bytes).indexOf(pattern);
    if (found >= 0) return at + BigInt(found);
    const behind = at + BigInt(bytes.length);
    at = bytes.length < wanted ? nextPage(behind) : behind - size + 1n;
    await nextTurn();
    if (session.interruptRequested || session.closed) throw new PacketError('interrupted', EINTR);
  }
  return null;
}

const nextPage = (at: bigint): bigint => (at / PAGE + 1n) * PAGE;

/** `g` */
export const readRegisters = (session: Session): string =>
  session.registers.readAll(session.target, session.currentTask().tid);

/** `p NUMBER` */
export const readRegister = (session: Session, text: string): string =>
  session.registers.readHex(session.target, session.currentTask().tid, parseCount(text));

/** `G HEX` */
export function writeRegisters(session: Session, text: string): string {
  const { tid } = session.currentTask();
  const diversion = session.divertForWrite();
  writingRegisters(diversion, session.replay, tid, () =>
    session.registers.writeAll(diversion.target, tid, text),
  );
  return OK;
}

/** `P NUMBER=HEX` */
export function writeRegister(session: Session, text: string): string {
  const [numberText, value] = split(text, '=');
  const { tid } = session.currentTask();
  const number = parseCount(numberText);
  if (session.registers.isIdle(session.target, tid, number, value)) return OK;
  const diversion = session.divertForWrite();
  writingRegisters(diversion, session.replay, tid, () =>
    session.registers.write(diversion.target, tid, number, value),
  );
  return OK;
}
