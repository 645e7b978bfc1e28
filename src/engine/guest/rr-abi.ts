import { gva, type Gva } from '../base/address.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { TraceHeader } from '../trace/records.js';
import { SYSCALL_LENGTH } from '../x86/constants.js';

/** Fixed addresses of the recorder in every tracee (rr: preload_interface.h, rr-traces.md 4.3 and 7.4). */
export const RR_PAGE = gva(0x7000_0000);
export const THREAD_LOCALS = gva(0x7000_1000);
/** Name of the mapping of thread locals. */
export const THREAD_LOCALS_NAME = '[preload_thread_locals]';
export const LIBRRPAGE = gva(0x6fff_d000);
/** Offset in librrpage.so of the page that replay maps at RR_PAGE. */
export const REPLAY_PAGE_OFFSET = 0x4000;

/** Whether the recorder's thread locals are still mapped: a program may have mapped its own page there. */
export const hasThreadLocals = ({ vmas }: AddressSpace): boolean =>
  vmas.find(THREAD_LOCALS)?.name === THREAD_LOCALS_NAME;

const SLOT_SIZE = 3;

/** Instruction pointer after the system call instruction of slot `index` of the rr page. */
const slotExit = (index: number): Gva => gva(RR_PAGE + SLOT_SIZE * index + SYSCALL_LENGTH);

/** Slots that hold `xor eax,eax` at replay (rr-traces.md 5.3). */
export const RECORD_ONLY_EXITS: readonly number[] = [slotExit(4), slotExit(7)];
/** Contents of those slots at replay; `syscall` where every call in them must be noticed. */
export const RECORD_ONLY_CODE = Uint8Array.of(0x31, 0xc0);
export const NOTICED_CODE = Uint8Array.of(0x0f, 0x05);
/** Slots whose calls the replay performs, without a frame (rr-traces.md 7.4). */
export const PERFORMED_EXITS: readonly number[] = [slotExit(2), slotExit(3), slotExit(5), slotExit(6)];
/**
 * Slots whose calls usually leave no frame. One that does was interrupted or blocked by the
 * program's seccomp filter: the program has to stop before it, since the instruction there is
 * different at replay.
 */
export const UNTRACED_EXITS: readonly number[] = [...RECORD_ONLY_EXITS, ...PERFORMED_EXITS];
/** After the int3 of the replay-assist slot. */
export const REPLAY_ASSIST_IP = gva(RR_PAGE + SLOT_SIZE * 8 + 2);

/** Syscall buffer header, byte offsets (rr-traces.md 7.2). */
export const BufferHeader = {
  numRecBytes: 0,
  mprotectRecordCount: 4,
  mprotectRecordCountCompleted: 8,
  abortCommit: 12,
  notifyOnSyscallHookExit: 13,
  locked: 14,
  blockedSigs: 16,
  blockedSigsGeneration: 24,
} as const;

/** A record in the syscall buffer, byte offsets; its data follow. */
export const BufferRecord = { result: 0, number: 8, extra: 16 } as const;

/** preload_thread_locals, byte offsets. */
export const ThreadLocals = {
  altStackPointer: 0,
  altStackNestingLevel: 24,
  savedFlags: 28,
  robustListHead: 104,
  robustListLength: 112,
  rseqPointer: 128,
  rseqLength: 136,
  rseqSignature: 140,
  size: 144,
} as const;

/** Parameters of rrcall init_preload and init_buffers, byte offsets. */
export const InitPreload = { globals: 64, breakpointInstruction: 72, syscallHook: 88 } as const;
export const InitBuffers = { buffer: 8, size: 24 } as const;

/** rr-private system calls, relative to rrcallBase (rr-traces.md 6.6). */
export const RrCall = {
  initPreload: 0,
  initBuffers: 1,
  notifySyscallHookExit: 2,
  notifyControlMessage: 3,
  rdtsc: 12,
} as const;

const MPROTECT_RECORDS_BYTES = 24_000;

/** Offset of the breakpoint value in preload_globals, with the quirk that it is there. */
export const globalsBreakpointValue = (header: TraceHeader): number =>
  MPROTECT_RECORDS_BYTES + 16 + header.syscallbufFdsDisabledSize;

/** Address of the breakpoint value in the rr page otherwise. */
export const RR_PAGE_BREAKPOINT_VALUE = gva(0x7000_001f);
