import { wordsToGva, type Gva, gva, offsetBy } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { Reg, getUnsigned, setSigned } from '../../base/registers.js';
import { SharedObject } from '../../mm/backing.js';
import { Prot } from '../../mm/vma.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { MMapRecord } from '../../trace/records.js';
import type { ReplayCore } from '../state/core.js';
import { rangeOf } from './exec.js';
import {
  BufferHeader,
  InitBuffers,
  InitPreload,
  NOTICED_CODE,
  RECORD_ONLY_CODE,
  RECORD_ONLY_EXITS,
  RR_PAGE_BREAKPOINT_VALUE,
  ThreadLocals,
  globalsBreakpointValue,
} from '../../guest/rr-abi.js';

/** Length of the load that faults at the flush point, `mov (%rsi),%rsi`. */
const BREAKPOINT_LOAD_LENGTH = 3;
const NO_BREAKPOINT = 0xffff_ffff_ffff_ffffn;
const RECORD_BYTES_UNIT = 8;
/** Bit of the header's `locked` byte. */
const LOCKED_BY_DEBUGGER = 2;

/**
 * rrcall init_preload: the library passes the address of its globals (rr-traces.md 6.6). Before the memory writes.
 */
export function initPreload(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const parameters = getUnsigned(frame.registers, Reg.rdi);
  const pointer = (offset: number): Gva => {
    const value = task.space.readU64(gva(parameters + offset), 'parameters of init_preload');
    return wordsToGva(Number(value & 0xffff_ffffn), Number(value >> 32n));
  };
  task.preload = {
    globals: pointer(InitPreload.globals),
    breakpointInstruction: pointer(InitPreload.breakpointInstruction),
    syscallHook: gva(0),
  };
  if (core.header.quirks.usesGlobalsInReplay) {
    task.space.writeExactly(task.preload.globals, Uint8Array.of(1), 'the in-replay flag');
  }
}

/**
 * rrcall init_buffers: memory writes first, they fill the out parameters; then the buffer is mapped.
 * The result is the buffer's address.
 */
export function initBuffers(core: ReplayCore, task: Task, frame: TraceFrame): void {
  core.applyMemWrites(frame, task);
  const parameters = gva(getUnsigned(frame.registers, Reg.rdi));
  const record = core.requireMapping(frame, 'init_buffers');
  mapSyscallBuffer(core, task, record);
  const out = task.space.readExactly(parameters, InitBuffers.size + 4, 'parameters of init_buffers');
  task.syscallbuf = gva(record.start);
  task.syscallbufSize = new DataView(out.buffer).getUint32(InitBuffers.size, true);
  if (task.syscallbufSize > record.end - record.start) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: a syscall buffer of ${task.syscallbufSize} bytes in a mapping of ${record.end - record.start}.`,
    );
  }
  setSigned(core.registers(task), Reg.rax, record.start);
}

/** A zero-filled object for a syscall buffer. */
function mapSyscallBuffer(core: ReplayCore, task: Task, record: MMapRecord): void {
  const range = rangeOf(record);
  task.space.map({
    ...range,
    prot: Prot.read | Prot.write,
    backing: new SharedObject(core.memory, '[syscallbuf]'),
    offset: 0,
    name: '[syscallbuf]',
    file: null,
  });
}

/**
 * Before the recorded records run again: copy them after the live header and set where the library
 * stops (rr-traces.md 7.6, steps 1 and 2). The header is not changed: it counts what replay has
 * committed.
 */
export function prepareFlush(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const headerSize = core.header.syscallbufHdrSize;
  const image = frame.memWrites[0];
  if (frame.memWriteCount === 0 || image.size < headerSize || task.syscallbuf === 0) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: a syscall buffer flush of task ${task.tid} without a buffer image.`,
    );
  }
  const recordBytes = image.size - headerSize;
  if (image.size > task.syscallbufSize) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: a buffer image of ${image.size} bytes for a buffer of ${task.syscallbufSize}.`,
    );
  }
  core.copyFromTrace(task, task.syscallbuf + headerSize, image, headerSize, recordBytes);
  const count = new Uint8Array(4);
  core.trace.readWrite(image, BufferHeader.numRecBytes, count);
  const numRecBytes = new DataView(count.buffer).getUint32(0, true);
  writeBreakpointValue(core, task, BigInt(Math.floor(numRecBytes / RECORD_BYTES_UNIT)));
  const isNoticed = core.notesFiles || task.fds.unframed;
  setRecordOnlyCode(task, isNoticed ? NOTICED_CODE : RECORD_ONLY_CODE);
}

const present = new Uint8Array(RECORD_ONLY_CODE.length);

/** What the record-only slots of the rr page do: only clear the result, or make each call exit. */
export function setRecordOnlyCode(task: Task, code: Uint8Array): void {
  for (const exit of RECORD_ONLY_EXITS) {
    const at = gva(exit - code.length);
    if (task.space.read(at, present) === code.length && present[0] !== code[0]) task.space.write(at, code);
  }
}

/** After the stop: nothing must fault any more, and the load counts as executed (step 4). */
export function finishFlush(core: ReplayCore, task: Task, frame: TraceFrame): void {
  writeBreakpointValue(core, task, NO_BREAKPOINT);
  const registers = core.registers(task);
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) + BREAKPOINT_LOAD_LENGTH);
  adoptBufferedRseq(core, task);
  adoptBufferedRobustList(core, task);
  core.applyMemWrites(frame, task, 1);
}

/** A registration of restartable sequences that was buffered leaves its arguments in the thread locals (step 6). */
function adoptBufferedRseq(core: ReplayCore, task: Task): void {
  if (core.header.quirks.usesGlobalsInReplay) return;
  const locals = core.threadLocals(task);
  if (locals.getUint32(ThreadLocals.rseqLength, true) === 0) return;
  task.rseq = {
    pointer: gva(Number(locals.getBigUint64(ThreadLocals.rseqPointer, true))),
    signature: locals.getUint32(ThreadLocals.rseqSignature, true),
  };
}

/** So does a list of robust futexes, which matters to diversions only. */
function adoptBufferedRobustList(core: ReplayCore, task: Task): void {
  if (core.header.quirks.usesGlobalsInReplay) return;
  const locals = core.threadLocals(task);
  if (locals.getUint32(ThreadLocals.robustListLength, true) === 0) return;
  task.robustList = gva(Number(locals.getBigUint64(ThreadLocals.robustListHead, true)));
}

function writeBreakpointValue(core: ReplayCore, task: Task, value: bigint): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  const at = core.header.quirks.usesGlobalsInReplay
    ? offsetBy(task.preload.globals, globalsBreakpointValue(core.header))
    : RR_PAGE_BREAKPOINT_VALUE;
  task.space.writeExactly(at, bytes, 'the breakpoint value of the preload library');
}

/**
 * Empties the buffer; the zeroing can be seen by the program (rr-traces.md 7.7). A task that
 * entered exit has released its buffer, but the trace still resets it.
 */
export function resetBuffer(core: ReplayCore, task: Task): void {
  if (task.syscallbuf === 0) return;
  const count = task.space.readU32(task.syscallbuf, 'the syscall buffer header');
  adoptBufferedMask(task);
  const records = Math.min(count, Math.max(0, task.syscallbufSize - core.header.syscallbufHdrSize));
  const zeros = new Uint8Array(records);
  task.space.writeExactly(
    offsetBy(task.syscallbuf, core.header.syscallbufHdrSize),
    zeros,
    'syscall buffer records',
  );
  for (const field of [
    BufferHeader.numRecBytes,
    BufferHeader.mprotectRecordCount,
    BufferHeader.mprotectRecordCountCompleted,
    BufferHeader.blockedSigsGeneration,
  ]) {
    task.space.writeExactly(offsetBy(task.syscallbuf, field), new Uint8Array(4), 'the syscall buffer header');
  }
}

/** Buffered rt_sigprocmask calls leave the mask in the header; a generation of 0: there was none. */
export function adoptBufferedMask(task: Task): void {
  if (task.syscallbuf === 0) return;
  const generation = offsetBy(task.syscallbuf, BufferHeader.blockedSigsGeneration);
  if (task.space.readU32(generation, 'the syscall buffer header') === 0) return;
  const mask = offsetBy(task.syscallbuf, BufferHeader.blockedSigs);
  task.signalMask = task.space.readU64(mask, 'the syscall buffer header');
}

export function abortCommit(task: Task, frame: TraceFrame): void {
  setHeaderByte(task, frame, BufferHeader.abortCommit, 'abort');
}

/** The library issues notify_syscall_hook_exit only if requested (rr-traces.md 5.3). */
export function requestHookExitNotice(task: Task, frame: TraceFrame): void {
  setHeaderByte(task, frame, BufferHeader.notifyOnSyscallHookExit, 'notice');
}

/**
 * Set by a debugger: while a task is stepped or its calls are traced, the library must not buffer them (rr-traces.md
 * 6.5).
 */
export function setBufferLock(task: Task, on: boolean): void {
  if (task.syscallbuf === 0) return;
  const at = offsetBy(task.syscallbuf, BufferHeader.locked);
  const [before] = task.space.readExactly(at, 1, 'the syscall buffer header');
  const locked = on ? before | LOCKED_BY_DEBUGGER : before & ~LOCKED_BY_DEBUGGER;
  task.space.writeExactly(at, Uint8Array.of(locked), 'the syscall buffer header');
}

function setHeaderByte(task: Task, frame: TraceFrame, field: number, what: string): void {
  if (task.syscallbuf === 0) throw noBuffer(frame, task, what);
  task.space.writeExactly(offsetBy(task.syscallbuf, field), Uint8Array.of(1), 'the syscall buffer header');
}

function noBuffer(frame: TraceFrame, task: Task, what: string): RevenantError {
  return new RevenantError(
    'E_TRACE_CORRUPT',
    `Frame ${frame.frameTime}: ${what} of the syscall buffer of task ${task.tid}, which has none.`,
  );
}
