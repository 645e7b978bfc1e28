import { Reg, type RegisterWords } from '../../base/registers.js';
import { wordsToGva, type Gva } from '../../base/address.js';
import { SIG_DFL } from '../../task/signal-state.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import type { GuestCore } from '../../guest/guest-core.js';
import { noteHandler } from '../syscalls/facts/state.js';
import { isInterrupted } from '../syscalls/restart.js';

/** struct rseq and struct rseq_cs (include/uapi/linux/rseq.h), byte offsets. */
const Rseq = { cpuIdStart: 0, cpuId: 4, csPointer: 8, flags: 16, size: 20 } as const;
const RseqCs = { version: 0, flags: 4, startIp: 8, postCommitOffset: 16, abortIp: 24, size: 32 } as const;
/** RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT and _ON_SIGNAL. */
const NO_RESTART = { sched: 1 << 0, signal: 1 << 1 } as const;

/** SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU. */
const STOPS: readonly number[] = [19, 20, 21, 22];

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** The signal is delivered without a handler: registers from the frame. */
export function deliverSignal(core: ReplayCore, task: Task, frame: TraceFrame): void {
  core.applyMemWrites(frame, task);
  core.loadRegisters(task, frame);
  if (!isInterrupted(core, task)) task.syscall = -1;
  const number = delivered(task, frame);
  if (!STOPS.includes(number) || task.group.actions.of(number).handler !== SIG_DFL) return;
  for (const each of task.group.tasks) each.stopped = true;
}

/** One that waited does not any more. */
function delivered(task: Task, { siginfo }: TraceFrame): number {
  if (siginfo.byteLength < 4) return 0;
  const number = new DataView(siginfo.buffer, siginfo.byteOffset, 4).getInt32(0, true);
  task.fds.files.world.signals.taken(task.group.tgid, task.tid, number);
  return number;
}

/** A handler's frame was built: vector state, the kernel's signal frame on the stack, registers (rr-traces.md 8.1). */
export function enterHandler(core: ReplayCore, task: Task, frame: TraceFrame): void {
  noteHandler(task, frame.siginfo);
  delivered(task, frame);
  task.syscall = -1;
  if (frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
  core.applyMemWrites(frame, task);
  core.loadRegisters(task, frame);
}

/**
 * An asynchronous event inside a restartable sequence aborts it: rip moves to its abort handler
 * (kernel/rseq.c; rr-traces.md 8.3). Memory that cannot be read means no abort, as in the kernel's fault path
 * a signal would follow and is recorded.
 */
export function abortRestartableSequence(core: GuestCore, task: Task, event: keyof typeof NO_RESTART): void {
  const registration = task.rseq;
  if (!registration) return;
  const area = readView(task, registration.pointer, Rseq.size);
  if (!area) return;
  const pointer = wordsToGva(area.getUint32(Rseq.csPointer, true), area.getUint32(Rseq.csPointer + 4, true));
  if (pointer <= 0) return;
  const section = readView(task, pointer, RseqCs.size);
  if (!section || section.getUint32(RseqCs.version, true) !== 0) return;
  if ((area.getUint32(Rseq.flags, true) | section.getUint32(RseqCs.flags, true)) & NO_RESTART[event]) return;
  const registers = core.registers(task);
  const rip = (BigInt(registers[2 * Reg.rip + 1]) << 32n) | BigInt(registers[2 * Reg.rip]);
  const start = section.getBigUint64(RseqCs.startIp, true);
  const length = section.getBigUint64(RseqCs.postCommitOffset, true);
  if (BigInt.asUintN(64, rip - start) >= length) return;
  // A section that the kernel refuses: it wraps around, or its abort handler lies in it.
  const abortOffset = section.getBigUint64(RseqCs.abortIp, true) - start;
  if (start + length > ALL_ONES || BigInt.asUintN(64, abortOffset) < length) return;
  const abort = wordsToGva(
    section.getUint32(RseqCs.abortIp, true),
    section.getUint32(RseqCs.abortIp + 4, true),
  );
  if (abort < 4) return;
  const signature = readView(task, (abort - 4) as Gva, 4);
  if (signature?.getUint32(0, true) !== registration.signature) return;
  setRip(registers, abort);
}

/**
 * A task that comes after another has the number of its CPU written to its rseq area. rr does that from 5.9 on
 * (Task::will_schedule); before, what the program stored there stayed. The header does not name the recorder, but
 * only those that do it state how far programs' addresses went.
 */
export function writeRseqCpu(core: ReplayCore, task: Task): void {
  if (!task.rseq || core.header.maxVirtualAddressSize === 0) return;
  const cpu = Math.max(0, core.header.bindToCpu);
  const words = new Uint8Array(8);
  const view = new DataView(words.buffer);
  view.setUint32(Rseq.cpuIdStart, cpu, true);
  view.setUint32(Rseq.cpuId, cpu, true);
  task.space.write(task.rseq.pointer, words);
}

function readView(task: Task, at: Gva, size: number): DataView | null {
  const bytes = new Uint8Array(size);
  return task.space.read(at, bytes) === size ? new DataView(bytes.buffer) : null;
}

function setRip(registers: RegisterWords, value: number): void {
  registers[2 * Reg.rip] = value >>> 0;
  registers[2 * Reg.rip + 1] = Math.floor(value / 0x1_0000_0000);
}
