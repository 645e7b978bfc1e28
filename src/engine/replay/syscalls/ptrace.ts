/**
 * Effects of ptrace on the tracee (rr-traces.md 6.5). rr records the results for the tracer;
 * changes of the tracee are performed here, from the caller's memory.
 */
import { wordsToGva, wordsToNumber, type Gva } from '../../base/address.js';
import { ArchPrctl } from '../../base/linux.js';
import { REGISTERS_BYTES, REGISTER_COUNT, Reg, type RegisterWords } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import { setLegacyState } from '../../x86/xstate-image.js';
import type { ReplayCore } from '../state/core.js';
import { writeThreadDescriptor } from '../../guest/descriptor-tables.js';
import { setBufferLock } from '../program/syscallbuf.js';

/** include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h. */
const Request = {
  pokeUser: 6,
  cont: 7,
  singleStep: 9,
  setRegs: 13,
  setFpRegs: 15,
  detach: 17,
  syscall: 24,
  setThreadArea: 26,
  archPrctl: 30,
  sysemu: 31,
  sysemuSingleStep: 32,
  setRegSet: 0x4205,
} as const;

/** Kinds of register sets (include/uapi/linux/elf.h). */
const Note = { prStatus: 1, prFpReg: 2, x86Xstate: 0x202 } as const;
const FXSAVE_BYTES = 512;
/** CF PF AF ZF SF TF DF OF NT RF AC: what a debugger may set (arch/x86/kernel/ptrace.c, FLAG_MASK). */
const FLAG_MASK = 0x5_4dd5;

interface Call {
  readonly core: ReplayCore;
  readonly caller: Task;
  readonly target: Task;
  readonly request: number;
  /** The third argument, an address or a number. */
  readonly address: number;
  /** The fourth argument. */
  readonly data: Gva;
  readonly frame: TraceFrame;
}

/** The call in the frame's registers; null if its target is not a task of the replay. */
function callOf(core: ReplayCore, caller: Task, frame: TraceFrame): Call | null {
  const { registers } = frame;
  const target = core.tasks.get(registers[2 * Reg.rsi] | 0);
  if (!target) return null;
  return {
    core,
    caller,
    target,
    request: registers[2 * Reg.rdi] | 0,
    address: wordsToNumber(registers[2 * Reg.rdx], registers[2 * Reg.rdx + 1]),
    data: wordsToGva(registers[2 * Reg.r10], registers[2 * Reg.r10 + 1]),
    frame,
  };
}

/** At the entry of ptrace: how the target will run on, and its thread descriptors. */
export function enterPtrace(core: ReplayCore, caller: Task, frame: TraceFrame): void {
  const call = callOf(core, caller, frame);
  if (!call) return;
  const { target, request } = call;
  switch (request) {
    case Request.cont:
    case Request.detach:
      target.stopped = false;
      return setBufferLock(target, false);
    case Request.syscall:
    case Request.singleStep:
    case Request.sysemu:
    case Request.sysemuSingleStep:
      target.stopped = false;
      return setBufferLock(target, true);
    case Request.setThreadArea:
      if (call.data >= 0) writeThreadDescriptor(target, caller, call.data, call.address);
      return core.descriptorsChanged(target);
  }
}

/** At the exit of a ptrace call that succeeded: the registers that it set. */
export function exitPtrace(core: ReplayCore, caller: Task, frame: TraceFrame): void {
  const call = callOf(core, caller, frame);
  if (!call) return;
  switch (call.request) {
    case Request.pokeUser:
      return pokeUser(call);
    case Request.setRegs:
      return setGeneral(call, call.data, REGISTERS_BYTES);
    case Request.setFpRegs:
      return setLegacyVectors(call, call.data);
    case Request.archPrctl:
      return archPrctl(call);
    case Request.setRegSet:
      return setRegisterSet(call);
  }
}

/** struct user: general registers first. Its debug registers raise recorded signals, so they need not be set. */
function pokeUser({ core, target, address, frame }: Call): void {
  const slot = address / 8;
  if (slot >= REGISTER_COUNT || !Number.isInteger(slot)) return;
  const value = Uint32Array.of(frame.registers[2 * Reg.r10], frame.registers[2 * Reg.r10 + 1]);
  setSlots(core.registers(target), slot, value);
  core.segmentsChanged(target);
}

function setGeneral({ core, caller, target }: Call, from: Gva, size: number): void {
  const bytes = caller.space.readExactly(from, Math.min(size, REGISTERS_BYTES) & ~7, 'registers for ptrace');
  setSlots(core.registers(target), 0, new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
  core.segmentsChanged(target);
}

/** Registers from `slot` on, of eflags only what a debugger may change. */
function setSlots(registers: RegisterWords, slot: number, words: Uint32Array): void {
  const flags = registers[2 * Reg.eflags];
  registers.set(words, 2 * slot);
  registers[2 * Reg.eflags] = (flags & ~FLAG_MASK) | (registers[2 * Reg.eflags] & FLAG_MASK);
  registers[2 * Reg.eflags + 1] = 0;
}

function setLegacyVectors({ core, caller, target }: Call, from: Gva): void {
  const image = core.vectorState(target);
  setLegacyState(image, caller.space.readExactly(from, FXSAVE_BYTES, 'x87 and SSE registers for ptrace'));
  core.setVectors(target, image);
}

function archPrctl({ core, target, frame }: Call): void {
  const code = frame.registers[2 * Reg.r10];
  if (code !== ArchPrctl.setFs && code !== ArchPrctl.setGs) return;
  const slot = code === ArchPrctl.setFs ? Reg.fs_base : Reg.gs_base;
  core.registers(target).set(frame.registers.subarray(2 * Reg.rdx, 2 * Reg.rdx + 2), 2 * slot);
  core.segmentsChanged(target);
}

/** The fourth argument is a struct iovec. */
function setRegisterSet(call: Call): void {
  const { core, caller, target, address, data } = call;
  const iovec = caller.space.readExactly(data, 16, 'the iovec of PTRACE_SETREGSET');
  const words = new Uint32Array(iovec.buffer, iovec.byteOffset, 4);
  const base = wordsToGva(words[0], words[1]);
  const size = wordsToNumber(words[2], words[3]);
  if (address === Note.prStatus) return setGeneral(call, base, size);
  if (address === Note.prFpReg) return setLegacyVectors(call, base);
  if (address !== Note.x86Xstate) return;
  const image = new Uint8Array(core.vectors.recorded.size);
  caller.space.read(base, image.subarray(0, Math.min(size, image.length)));
  core.setVectors(target, core.vectors.fromRecorded(image));
}
