/** What recorded programs used that not every machine has. Read from the trace before a machine is opened. */
import { USER_END } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { Sys } from '../base/linux.js';
import { getSigned, Reg } from '../base/registers.js';
import { Arch, EventKind, SyscallState, type TraceFrame } from './frame.js';
import { TraceReader } from './reader.js';

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

/** Reads a trace through a reader of its own. Stops where the trace cannot be read: the replay says why. */
export function traceUse({ directory, header }: TraceReader): TraceUse {
  const mapped = new Uint8Array(Math.ceil(USER_END / USE_BLOCK));
  const reader = TraceReader.open(directory, { header });
  try {
    readMappings(reader, mapped);
    return { mapped, ...readFrames(reader) };
  } finally {
    reader.close();
  }
}

/** Whatever `read` returns, null from where the trace is damaged. */
function undamaged<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof RevenantError) return null;
    throw error;
  }
}

function readMappings(reader: TraceReader, mapped: Uint8Array): void {
  for (;;) {
    const record = undamaged(() => reader.peekMapping());
    if (!record) return;
    reader.nextMapping(record.frameTime);
    if (record.start < record.end)
      mapped.fill(1, Math.floor(record.start / USE_BLOCK), Math.ceil(record.end / USE_BLOCK));
  }
}

function readFrames(reader: TraceReader): Omit<TraceUse, 'mapped'> {
  let ownSegments: UsePlace | null = null;
  let ownKeys: UsePlace | null = null;
  while (reader.frameTime < MOST_FRAMES) {
    const frame = undamaged(() => reader.advance());
    if (!frame) break;
    const place = { frameTime: frame.frameTime, tid: frame.tid };
    if (is32(frame)) return { ownSegments, ownKeys, code32: place };
    if (!ownSegments && makesSegment(frame)) ownSegments = place;
    if (!ownKeys && setsKey(frame)) ownKeys = place;
  }
  return { ownSegments, ownKeys, code32: null };
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
