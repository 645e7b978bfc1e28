/** Restartable sequences, as the kernel keeps them (kernel/rseq.c). */
import { wordsToGva, offsetBy, type Gva } from '../base/address.js';
import { Reg, setSigned } from '../base/registers.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { Task } from '../task/task.js';
import type { GuestCore } from './guest-core.js';

/** struct rseq and struct rseq_cs (include/uapi/linux/rseq.h), byte offsets. */
const Rseq = { cpuIdStart: 0, cpuId: 4, csPointer: 8, flags: 16, size: 20 } as const;
const RseqCs = { version: 0, flags: 4, startIp: 8, postCommitOffset: 16, abortIp: 24, size: 32 } as const;
/** RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT and _ON_SIGNAL. */
const NO_RESTART = { sched: 1 << 0, signal: 1 << 1 } as const;

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

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
  // A section that the kernel refuses: it wraps around, or contains its abort handler.
  const abortOffset = section.getBigUint64(RseqCs.abortIp, true) - start;
  if (start + length > ALL_ONES || BigInt.asUintN(64, abortOffset) < length) return;
  const abort = wordsToGva(
    section.getUint32(RseqCs.abortIp, true),
    section.getUint32(RseqCs.abortIp + 4, true),
  );
  if (abort < 4) return;
  const signature = readView(task, offsetBy(abort, -4), 4);
  if (signature?.getUint32(0, true) !== registration.signature) return;
  setSigned(registers, Reg.rip, abort);
}

/** The contents of a task's area on another processor. */
export function writeCpuNumber(space: AddressSpace, pointer: Gva, cpu: number): void {
  const words = new Uint8Array(8);
  const view = new DataView(words.buffer);
  view.setUint32(Rseq.cpuIdStart, cpu, true);
  view.setUint32(Rseq.cpuId, cpu, true);
  space.write(pointer, words);
}

function readView(task: Task, at: Gva, size: number): DataView | null {
  const bytes = new Uint8Array(size);
  return task.space.read(at, bytes) === size ? new DataView(bytes.buffer) : null;
}
