/** What recorded programs used that not every machine has. Read from the trace before a machine is opened. */
import * as path from 'node:path';
import { USER_END } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { Sys } from '../base/linux.js';
import { getSigned, Reg } from '../base/registers.js';
import { BlockFile } from './chunk.js';
import { FrameDecoder, FrameHead } from './events.js';
import { Arch, EventKind, SyscallState, TraceFrame } from './frame.js';
import { MessageStream } from './messages.js';
import { decodeMMap } from './mmaps.js';
import type { TraceReader } from './reader.js';
import { RecordStream } from './record-stream.js';
import type { MMapRecord, TraceHeader } from './records.js';
import { FileSource } from './source.js';
import { xsaveBytes } from './xsave-size.js';

/** What the addresses of mappings are rounded to in `TraceUse.mapped`. */
export const USE_BLOCK = 2 ** 32;

/** A frame that needs something, and its task. */
export interface UsePlace {
  readonly frameTime: number;
  readonly tid: number;
}

export interface TraceUse {
  /** Of each block of user space: 1 if a mapping of the recording was ever in it. */
  readonly mapped: Uint8Array;
  /** A descriptor of the program's own (modify_ldt, set_thread_area). */
  readonly ownSegments: UsePlace | null;
  readonly code32: UsePlace | null;
  /** Memory gets another protection key than 0 (pkey_mprotect), so that the program can forbid all of key 0. */
  readonly ownKeys: UsePlace | null;
}

/** So many frames are read: some milliseconds. What comes later is found by the replay. */
const MOST_FRAMES = 10_000;

/**
 * Reads the streams of an open trace by themselves. Stops where they cannot be read: the replay says why. Of an
 * incomplete trace it may see frames whose data was not written.
 */
export function traceUse({ directory, header, incomplete }: TraceReader): TraceUse {
  const mapped = new Uint8Array(Math.ceil(USER_END / USE_BLOCK));
  const found: Found = { ownSegments: null, code32: null, ownKeys: null };
  read('mmaps', (blocks) =>
    readMappings(new RecordStream(MessageStream.of(blocks, 'record'), decodeMMap), mapped),
  );
  read('events', (blocks) => readFrames(MessageStream.of(blocks, 'frame'), header, found));
  return { mapped, ...found };

  function read(name: string, readBlocks: (blocks: BlockFile) => void): void {
    const source = FileSource.open(path.join(directory, name));
    try {
      readBlocks(new BlockFile(source, incomplete));
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
    } finally {
      source.close();
    }
  }
}

type Found = { -readonly [K in Exclude<keyof TraceUse, 'mapped'>]: TraceUse[K] };

function readMappings(records: RecordStream<MMapRecord>, mapped: Uint8Array): void {
  for (let record = records.next(); record; record = records.next()) {
    if (record.start < record.end)
      mapped.fill(1, Math.floor(record.start / USE_BLOCK), Math.ceil(record.end / USE_BLOCK));
  }
}

/** Decodes those frames only that may be found. */
function readFrames(events: MessageStream, { cpuidRecords }: TraceHeader, found: Found): void {
  const head = new FrameHead();
  const frame = new TraceFrame();
  const decoder = new FrameDecoder(events.message, cpuidRecords.length === 0 ? 0 : xsaveBytes(cpuidRecords));
  let isWanted = false;
  const wanted = (): boolean => (isWanted = !head.read(events.message) || mayBeFound(head));
  while (events.ordinal < MOST_FRAMES && events.nextOrSkip(FrameHead.words, wanted)) {
    if (!isWanted) continue;
    decoder.decode(frame, events.ordinal, 0);
    const place = { frameTime: frame.frameTime, tid: frame.tid };
    if (is32(frame)) {
      found.code32 = place;
      return;
    }
    if (makesSegment(frame)) found.ownSegments ??= place;
    if (setsKey(frame)) found.ownKeys ??= place;
  }
}

function mayBeFound({ arch, kind, syscallArch, syscallState, syscallNumber }: FrameHead): boolean {
  if (arch !== Arch.x8664) return true;
  if (kind !== EventKind.syscall) return false;
  if (syscallArch !== Arch.x8664) return true;
  if (syscallState !== SyscallState.exiting) return false;
  return (
    syscallNumber === Sys.pkey_mprotect ||
    syscallNumber === Sys.set_thread_area ||
    syscallNumber === Sys.modify_ldt
  );
}

const is32 = (frame: TraceFrame): boolean =>
  (frame.hasRegisters && frame.arch !== Arch.x8664) ||
  (frame.kind === EventKind.syscall && frame.syscallArch !== Arch.x8664);

/** Whether a frame gives memory another key than 0; key -1 means none (mm/mprotect.c). */
export function setsKey({ kind, syscallState, syscallNumber, registers }: TraceFrame): boolean {
  if (kind !== EventKind.syscall || syscallState !== SyscallState.exiting) return false;
  if (syscallNumber !== Sys.pkey_mprotect || getSigned(registers, Reg.rax) !== 0) return false;
  return (registers[2 * Reg.r10] | 0) > 0;
}

/** modify_ldt reads with function 0 and 2 (arch/x86/kernel/ldt.c). */
function makesSegment({ kind, syscallState, syscallNumber, registers }: TraceFrame): boolean {
  if (kind !== EventKind.syscall || syscallState !== SyscallState.exiting) return false;
  if (getSigned(registers, Reg.rax) < 0) return false;
  const operation = registers[2 * Reg.rdi];
  return (
    syscallNumber === Sys.set_thread_area ||
    (syscallNumber === Sys.modify_ldt && (operation === 1 || operation === 0x11))
  );
}
