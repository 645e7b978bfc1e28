import type { RegisterWords } from '../base/registers.js';
import { newRegisters } from '../base/registers.js';

/** What a frame records; values are the union tags of `Frame.event` in rr's schema. */
export const EventKind = {
  instructionTrap: 0,
  patchSyscall: 1,
  syscallbufAbortCommit: 2,
  syscallbufReset: 3,
  sched: 4,
  growMap: 5,
  signal: 6,
  signalDelivery: 7,
  signalHandler: 8,
  exit: 9,
  syscallbufFlush: 10,
  syscall: 11,
  patchAfterSyscall: 12,
  patchVsyscall: 13,
  patchTrappingInstruction: 14,
} as const;
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

/** `Frame.arch` and `nativeArch`. */
export const Arch = { x86: 0, x8664: 1, aarch64: 2 } as const;

export const SyscallState = { enteringPtrace: 0, entering: 1, exiting: 2 } as const;

export const Disposition = { fatal: 0, userHandler: 1, ignored: 2 } as const;

/** One memory write of a frame. Its bytes are in the `data` stream at `dataOffset`, holes left out. */
export interface MemWrite {
  /** Selects the address space: that of the recorded task with this tid. */
  tid: number;
  /** Guest address; may be any 64-bit value in a hostile trace, hence two words. */
  addressLow: number;
  addressHigh: number;
  /** Bytes written, holes included. */
  size: number;
  /** The recorder guessed an upper bound: a write that runs into unmapped memory is cut short. */
  sizeIsConservative: boolean;
  /** Sorted (offset, size) pairs, flat, of zeros that take no place in the `data` stream. */
  holes: number[];
  /** Sum of hole sizes. */
  holeBytes: number;
  /** Where this write's `size - holeBytes` bytes start in the decompressed `data` stream. */
  dataOffset: number;
}

export interface OpenedFd {
  fd: number;
  device: bigint;
  inode: bigint;
  path: string;
}

/** The `extra` union of a system-call event. */
export type SyscallExtra =
  | { kind: 'none' }
  | { kind: 'writeOffset'; offset: bigint }
  | { kind: 'execFdsToClose'; fds: number[] }
  | { kind: 'openedFds'; fds: OpenedFd[] }
  | { kind: 'socketAddrs'; local: Uint8Array; remote: Uint8Array }
  | { kind: 'madviseRanges'; ranges: { start: bigint; end: bigint }[] };

const NO_EXTRA: SyscallExtra = { kind: 'none' };

/**
 * One recorded event with its time, task, ticks and registers.
 *
 * Invariant: frames are allocated once by the reader and refilled; nothing outside the reader keeps a
 * frame, its arrays or its MemWrite objects beyond the next `advance()`. Fields of other event kinds
 * than `kind` hold stale values.
 */
export class TraceFrame {
  /** FrameTime: the ordinal of this frame, from 1. */
  frameTime = 0;
  tid = 0;
  ticks = 0;
  monotonicSec = 0;
  arch: number = Arch.x8664;
  kind: EventKind = EventKind.instructionTrap;

  hasRegisters = false;
  /** Valid if `hasRegisters`; the recorded `user_regs_struct`. */
  readonly registers: RegisterWords = newRegisters();
  /** A standard-form XSAVE image in the recorded layout, or null when the frame has none. */
  extraRegisters: Uint8Array | null = null;

  /** The first `memWriteCount` entries of `memWrites` belong to this frame. */
  memWriteCount = 0;
  readonly memWrites: MemWrite[] = [];
  /** Cursor of the `data` stream after this frame: where the next frame's writes start. */
  dataEnd = 0;

  // kind syscall
  syscallArch: number = Arch.x8664;
  syscallNumber = 0;
  syscallState: number = SyscallState.entering;
  failedDuringPreparation = false;
  extra: SyscallExtra = NO_EXTRA;

  // kind signal, signalDelivery, signalHandler
  siginfoArch: number = Arch.x8664;
  deterministic = false;
  disposition: number = Disposition.fatal;
  /** The kernel's siginfo_t, 128 bytes: signo at 0, errno at 4, code at 8, address or ids at 16. */
  siginfo: Uint8Array = new Uint8Array(0);

  // kind syscallbufFlush: 24-byte records {u64 start, u64 size, i32 prot, i32 pad}
  mprotectRecords: Uint8Array = new Uint8Array(0);

  // kind sched: address of syscall_hook, 0 = none
  inSyscallbufSyscallHook = 0n;
}
