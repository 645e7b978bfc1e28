/**
 * What the recording tells of clocks. Frames have the monotonic time (`monotonicSec`); the others are known from what
 * the program read: the difference to the frame in which a value became known is at most the clocks' difference, and
 * the largest of many is that difference but for microseconds.
 */
import type { Gva } from '../engine/base/address.js';
import { Reg, getSigned, getUnsigned } from '../engine/base/registers.js';
import type { ReplayCore } from '../engine/replay/core.js';
import { BufferHeader, BufferRecord } from '../engine/replay/layout.js';
import { EventKind, SyscallState, type TraceFrame } from '../engine/trace/frame.js';
import { TraceReader } from '../engine/trace/reader.js';

const SYS_GETTIMEOFDAY = 96;
const SYS_TIME = 201;
const SYS_CLOCK_GETTIME = 228;
const BILLION = 1_000_000_000n;
/** Records of the syscall buffer: their size, and to what they are aligned. */
const RECORD_SIZE = 12;
const RECORD_ALIGNMENT = 8;
/** Later than any boot ago: a value of CLOCK_REALTIME. */
const YEAR_2001 = 1_000_000_000n * BILLION;
/** Values of other clocks differ by more from the monotonic one, or it does not matter. */
const SAME_CLOCK = BILLION;
/** Enough for the difference; a recording of a program that never asks is read to here. */
const MAX_READINGS = 256;
const MAX_FRAMES = 50_000;

/** Nanoseconds to add to the monotonic clock; null: the program never read the clock. */
export interface ClockOffsets {
  readonly wall: bigint | null;
  readonly boot: bigint | null;
  /** The monotonic clock at the last frame that was read. */
  readonly last: bigint;
}

export const toNanos = (seconds: number): bigint => BigInt(Math.round(Math.max(0, seconds) * 1e6)) * 1000n;

const known = new WeakMap<TraceReader, ClockOffsets>();

/** Reads the trace from its beginning, once. */
export function recordedOffsets({ trace }: ReplayCore): ClockOffsets {
  let offsets = known.get(trace);
  if (!offsets) {
    const reader = TraceReader.open(trace.directory, { header: trace.header });
    try {
      offsets = readOffsets(reader, trace.header.syscallbufHdrSize);
    } finally {
      reader.close();
    }
    known.set(trace, offsets);
  }
  return offsets;
}

function readOffsets(reader: TraceReader, headerSize: number): ClockOffsets {
  let wall: bigint | null = null;
  let boot: bigint | null = null;
  let readings = 0;
  let last = 0n;
  for (let frames = 0; frames < MAX_FRAMES && readings < MAX_READINGS; frames++) {
    const frame = reader.advance();
    if (!frame) break;
    const now = (last = toNanos(frame.monotonicSec));
    for (const nanos of readingsOf(reader, frame, headerSize)) {
      readings++;
      const offset = nanos - now;
      if (nanos > YEAR_2001) wall = wall === null || offset > wall ? offset : wall;
      else if (offset > SAME_CLOCK) boot = boot === null || offset > boot ? offset : boot;
    }
  }
  return { wall, boot, last };
}

function readingsOf(reader: TraceReader, frame: TraceFrame, headerSize: number): bigint[] {
  const [image] = frame.memWrites;
  if (frame.kind === EventKind.syscallbufFlush && frame.memWriteCount > 0) {
    const bytes = new Uint8Array(Math.max(0, image.size - headerSize));
    reader.readWrite(image, headerSize, bytes);
    return bufferedReadings(bytes);
  }
  if (frame.kind !== EventKind.syscall || frame.syscallState !== SyscallState.exiting) return [];
  const { registers, syscallNumber: number } = frame;
  const result = getSigned(registers, Reg.rax);
  if (number === SYS_TIME && result > 0) return [BigInt(result) * BILLION];
  if (result !== 0 || (number !== SYS_CLOCK_GETTIME && number !== SYS_GETTIMEOFDAY)) return [];
  const at = getUnsigned(registers, number === SYS_CLOCK_GETTIME ? Reg.rsi : Reg.rdi);
  for (const write of frame.memWrites.slice(0, frame.memWriteCount)) {
    if (write.addressHigh * 2 ** 32 + write.addressLow !== at || write.size < 16) continue;
    const bytes = new Uint8Array(16);
    reader.readWrite(write, 0, bytes);
    return [reading(new DataView(bytes.buffer), 0, number)];
  }
  return [];
}

/** Two words, seconds and a part of them. */
function reading(view: DataView, at: number, number: number): bigint {
  const part = view.getBigInt64(at + 8, true);
  return view.getBigInt64(at, true) * BILLION + (number === SYS_GETTIMEOFDAY ? part * 1000n : part);
}

/** Clock values in records of the syscall buffer, in nanoseconds. */
export function bufferedReadings(records: Uint8Array): bigint[] {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const found: bigint[] = [];
  for (let at = 0; at + BufferRecord.extra <= records.length;) {
    const size = view.getUint32(at + RECORD_SIZE, true);
    if (size < BufferRecord.extra || at + size > records.length) break;
    const number = view.getUint16(at + BufferRecord.number, true);
    const result = view.getBigInt64(at + BufferRecord.result, true);
    const isPair = number === SYS_CLOCK_GETTIME || number === SYS_GETTIMEOFDAY;
    if (number === SYS_TIME && result > 0n) found.push(result * BILLION);
    else if (isPair && result === 0n && size >= BufferRecord.extra + 16)
      found.push(reading(view, at + BufferRecord.extra, number));
    at += Math.ceil(size / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
  }
  return found;
}

/** The monotonic time where a replay stands: not before anything that the program has read of clocks. */
export function standingTime(replay: ReplayCore, { wall }: ClockOffsets): bigint {
  let now = toNanos(replay.recordedSec);
  for (const task of replay.tasks.values()) {
    if (task.syscallbuf === 0) continue;
    const header = replay.header.syscallbufHdrSize;
    const count = new Uint8Array(4);
    task.space.read((task.syscallbuf + BufferHeader.numRecBytes) as Gva, count);
    const size = new DataView(count.buffer).getUint32(0, true);
    if (size === 0 || size > task.syscallbufSize - header) continue;
    const records = new Uint8Array(size);
    if (task.space.read((task.syscallbuf + header) as Gva, records) < size) continue;
    for (const nanos of bufferedReadings(records)) {
      const monotonic = nanos > YEAR_2001 ? (wall === null ? 0n : nanos - wall) : nanos;
      if (monotonic > now && monotonic - now < 3600n * BILLION) now = monotonic;
    }
  }
  return now;
}
