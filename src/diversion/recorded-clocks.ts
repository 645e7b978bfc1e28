/**
 * The recording's clocks. Frames have the monotonic time (`monotonicSec`); the others are known
 * from the program's reads: the difference to the frame of a read is at most the clocks'
 * difference, and the maximum of many equals it up to microseconds.
 */
import { offsetBy } from '../engine/base/address.js';
import { Reg, getSigned, getUnsigned } from '../engine/base/registers.js';
import type { ReplayCore } from '../engine/replay/state/core.js';
import { BufferHeader, BufferRecord } from '../engine/guest/rr-abi.js';
import { EventKind, SyscallState, type TraceFrame } from '../engine/trace/frame.js';
import { TraceReader } from '../engine/trace/reader.js';

const SYS_STATX = 332;
/** stat, fstat, lstat, newfstatat, statx: the argument with the result's address. */
const STATS: ReadonlyMap<number, number> = new Map([
  ...([4, 5, 6] as const).map((number) => [number, Reg.rsi] as const),
  [262, Reg.rdx],
  [SYS_STATX, Reg.r8],
]);
/** Seconds of the times of access, change and modification in struct stat and struct statx. */
const STAT_TIMES: readonly number[] = [72, 88, 104];
const STATX_TIMES: readonly number[] = [64, 96, 112];
const STAT_BYTES = 144;
const SYS_GETTIMEOFDAY = 96;
const SYS_TIME = 201;
const SYS_CLOCK_GETTIME = 228;
const BILLION = 1_000_000_000n;
/** Records of the syscall buffer: their size, and to what they are aligned. */
const RECORD_SIZE = 12;
const RECORD_ALIGNMENT = 8;
/** Later than any boot ago: a value of CLOCK_REALTIME. */
const YEAR_2001 = 1_000_000_000n * BILLION;
/** Later than any recording: a file with such a time is ignored. */
const YEAR_2100 = 4_102_444_800n * BILLION;
/** Values of other clocks differ by more from the monotonic one, or it does not matter. */
const SAME_CLOCK = BILLION;
/** Frames to read: enough for the difference, and the limit for programs that never read clocks. */
const MAX_READINGS = 256;
const MAX_FRAMES = 50_000;

/** Nanoseconds to add to the monotonic clock; null: the program never read the clock. */
export interface ClockOffsets {
  readonly wall: bigint | null;
  readonly boot: bigint | null;
  /** A lower bound from times of files that the program examined, else from the build time of its kernel. */
  readonly leastWall: bigint;
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
  let leastWall: bigint | null = null;
  let readings = 0;
  for (let frames = 0; frames < MAX_FRAMES && readings < MAX_READINGS; frames++) {
    const frame = reader.advance();
    if (!frame) break;
    const now = toNanos(frame.monotonicSec);
    const { clocks, files } = readingsOf(reader, frame, headerSize);
    for (const nanos of clocks) {
      readings++;
      const offset = nanos - now;
      if (nanos > YEAR_2001) wall = wall === null || offset > wall ? offset : wall;
      else if (offset > SAME_CLOCK) boot = boot === null || offset > boot ? offset : boot;
    }
    for (const nanos of files) if (leastWall === null || nanos - now > leastWall) leastWall = nanos - now;
  }
  return { wall, boot, leastWall: leastWall ?? buildTime(reader.header.uname.version) };
}

/** "#1 SMP PREEMPT_DYNAMIC Debian 6.1.147-1 (2025-08-02)", "#1 SMP Mon Aug 4 12:00:00 UTC 2025". */
function buildTime(version: string): bigint {
  const [, date] = /(\d{4}-\d\d-\d\d|[A-Z][a-z]{2} +\d+ [\d:]+ [A-Z]+ \d{4})/.exec(version) ?? [];
  const millis = date === undefined ? NaN : Date.parse(date);
  return Number.isFinite(millis) ? BigInt(millis) * 1_000_000n : YEAR_2001;
}

/** Values of clocks, and times of files. */
interface Readings {
  readonly clocks: bigint[];
  readonly files: bigint[];
}

const NOTHING: Readings = { clocks: [], files: [] };

function readingsOf(reader: TraceReader, frame: TraceFrame, headerSize: number): Readings {
  const [image] = frame.memWrites;
  if (frame.kind === EventKind.syscallbufFlush && frame.memWriteCount > 0) {
    const bytes = new Uint8Array(Math.max(0, image.size - headerSize));
    reader.readWrite(image, headerSize, bytes);
    return readRecords(bytes);
  }
  if (frame.kind !== EventKind.syscall || frame.syscallState !== SyscallState.exiting) return NOTHING;
  const { registers, syscallNumber: number } = frame;
  const result = getSigned(registers, Reg.rax);
  if (number === SYS_TIME && result > 0) return { clocks: [BigInt(result) * BILLION], files: [] };
  if (result !== 0) return NOTHING;
  const stat = STATS.get(number);
  if (stat !== undefined) {
    const view = written(reader, frame, getUnsigned(registers, stat), STAT_BYTES);
    return view ? { clocks: [], files: fileTimes(view, 0, number) } : NOTHING;
  }
  if (number !== SYS_CLOCK_GETTIME && number !== SYS_GETTIMEOFDAY) return NOTHING;
  const at = getUnsigned(registers, number === SYS_CLOCK_GETTIME ? Reg.rsi : Reg.rdi);
  const view = written(reader, frame, at, 16);
  return view ? { clocks: [reading(view, 0, number)], files: [] } : NOTHING;
}

/** The first bytes of what the frame stored at an address. */
function written(reader: TraceReader, frame: TraceFrame, at: number, size: number): DataView | null {
  for (const write of frame.memWrites.slice(0, frame.memWriteCount)) {
    if (write.addressHigh * 2 ** 32 + write.addressLow !== at || write.size < size) continue;
    const bytes = new Uint8Array(size);
    reader.readWrite(write, 0, bytes);
    return new DataView(bytes.buffer);
  }
  return null;
}

function fileTimes(view: DataView, at: number, number: number): bigint[] {
  const places = number === SYS_STATX ? STATX_TIMES : STAT_TIMES;
  return places
    .map((place) => view.getBigInt64(at + place, true) * BILLION)
    .filter((nanos) => nanos > YEAR_2001 && nanos < YEAR_2100);
}

/** Two words, seconds and fraction. */
function reading(view: DataView, at: number, number: number): bigint {
  const part = view.getBigInt64(at + 8, true);
  return view.getBigInt64(at, true) * BILLION + (number === SYS_GETTIMEOFDAY ? part * 1000n : part);
}

/** Clock values in records of the syscall buffer, in nanoseconds. */
export const bufferedReadings = (records: Uint8Array): bigint[] => readRecords(records).clocks;

function readRecords(records: Uint8Array): Readings {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const found: Readings = { clocks: [], files: [] };
  for (let at = 0; at + BufferRecord.extra <= records.length;) {
    const size = view.getUint32(at + RECORD_SIZE, true);
    if (size < BufferRecord.extra || at + size > records.length) break;
    const number = view.getUint16(at + BufferRecord.number, true);
    const result = view.getBigInt64(at + BufferRecord.result, true);
    const isPair = number === SYS_CLOCK_GETTIME || number === SYS_GETTIMEOFDAY;
    if (number === SYS_TIME && result > 0n) found.clocks.push(result * BILLION);
    else if (isPair && result === 0n && size >= BufferRecord.extra + 16)
      found.clocks.push(reading(view, at + BufferRecord.extra, number));
    else if (STATS.has(number) && result === 0n && size >= BufferRecord.extra + STAT_BYTES)
      found.files.push(...fileTimes(view, at + BufferRecord.extra, number));
    at += Math.ceil(size / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
  }
  return found;
}

/** The monotonic time at a replay's position: not before any clock value that the program has read. */
export function standingTime(replay: ReplayCore, { wall }: ClockOffsets): bigint {
  let now = toNanos(replay.recordedSec);
  for (const task of replay.tasks.values()) {
    if (task.syscallbuf === 0) continue;
    const header = replay.header.syscallbufHdrSize;
    const count = new Uint8Array(4);
    task.space.read(offsetBy(task.syscallbuf, BufferHeader.numRecBytes), count);
    const size = new DataView(count.buffer).getUint32(0, true);
    if (size === 0 || size > task.syscallbufSize - header) continue;
    const records = new Uint8Array(size);
    if (task.space.read(offsetBy(task.syscallbuf, header), records) < size) continue;
    for (const nanos of bufferedReadings(records)) {
      const monotonic = nanos > YEAR_2001 ? (wall === null ? 0n : nanos - wall) : nanos;
      if (monotonic > now && monotonic - now < 3600n * BILLION) now = monotonic;
    }
  }
  return now;
}
