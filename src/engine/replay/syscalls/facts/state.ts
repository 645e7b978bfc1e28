/**
 * State that a diversion needs and replay does not: signal dispositions, masks, alternate stacks, the working
 * directory. Files and descriptors: `files.ts`. Collected from calls as they return, from guest memory and results
 * only.
 */
import { gva, type Gva } from '../../../base/address.js';
import { Sys } from '../../../base/linux.js';
import { Reg, getUnsigned, type RegisterWords } from '../../../base/registers.js';
import {
  DEFAULT_ACTION,
  SIGACTION_BYTES,
  SigAction,
  UNBLOCKABLE,
  readAction,
  readAltStack,
  signalBit,
} from '../../../task/signal-state.js';
import type { Task } from '../../../task/task.js';
import type { ReplayCore } from '../../state/core.js';
import { nameOf } from '../../../base/names.js';

const AT_FDCWD = -100;
const MAX_PATH = 4096;
const Block = { block: 0, unblock: 1, setMask: 2 } as const;
/** Offset of uc_sigmask in struct ucontext, which rsp points to when rt_sigreturn is called. */
const UC_SIGMASK = 296;
const HIGHEST_SIGNAL = 64;

/** Calls for which `noteCall` reads memory, as it is when the call returns. */
const NOTED_BY_MEMORY: ReadonlySet<number> = new Set([
  ...[Sys.rt_sigaction, Sys.rt_sigprocmask, Sys.sigaltstack, Sys.set_tid_address, Sys.set_robust_list],
  ...[Sys.brk, Sys.chdir],
]);

export const isNotedByMemory = (number: number): boolean => NOTED_BY_MEMORY.has(number);

/** A call that succeeded, before its recorded memory writes. `registers` hold its arguments. */
export function noteCall(task: Task, number: number, registers: RegisterWords, result: number): void {
  const first = registers[2 * Reg.rdi];
  switch (number) {
    case Sys.rt_sigaction:
      return noteAction(task, first, pointer(registers, Reg.rsi));
    case Sys.rt_sigprocmask:
      return noteMask(task, first, pointer(registers, Reg.rsi));
    case Sys.sigaltstack: {
      const bytes = peek(task, pointer(registers, Reg.rdi), 24);
      if (bytes) task.altStack = readAltStack(bytes);
      return;
    }
    case Sys.set_tid_address:
      task.clearTid = pointer(registers, Reg.rdi);
      return;
    case Sys.set_robust_list:
      task.robustList = pointer(registers, Reg.rdi);
      return;
    case Sys.brk:
      task.space.brkMoved(result);
      return;
    case Sys.chdir:
      noteDirectory(task, pointer(registers, Reg.rdi));
      return;
  }
}

/** A handler is entered for the signal of `siginfo`: more signals are blocked until it returns. */
export function noteHandler(task: Task, siginfo: Uint8Array): void {
  if (siginfo.length < 4) return;
  const signal = new DataView(siginfo.buffer, siginfo.byteOffset, 4).getInt32(0, true);
  if (signal < 1 || signal > HIGHEST_SIGNAL) return;
  const { actions } = task.group;
  const { mask, flags } = actions.of(signal);
  task.signalMask |= mask;
  if (!(flags & SigAction.noDefer)) task.signalMask |= signalBit(signal);
  task.signalMask &= ~UNBLOCKABLE;
  if (flags & SigAction.resetHandler) actions.set(signal, DEFAULT_ACTION);
}

/** rt_sigreturn, before its registers are loaded. */
export function noteSigreturn(core: ReplayCore, task: Task): void {
  const stack = getUnsigned(core.registers(task), Reg.rsp);
  const mask = readMask(task, gva(stack + UC_SIGMASK));
  if (mask !== null) task.signalMask = mask & ~UNBLOCKABLE;
}

function noteAction(task: Task, signal: number, at: Gva): void {
  const bytes = peek(task, at, SIGACTION_BYTES);
  if (bytes && signal >= 1 && signal <= HIGHEST_SIGNAL) task.group.actions.set(signal, readAction(bytes));
}

function noteMask(task: Task, how: number, at: Gva): void {
  const mask = readMask(task, at);
  if (mask === null) return;
  if (how === Block.block) task.signalMask |= mask;
  else if (how === Block.unblock) task.signalMask &= ~mask;
  else if (how === Block.setMask) task.signalMask = mask;
  task.signalMask &= ~UNBLOCKABLE;
}

function noteDirectory(task: Task, at: Gva): void {
  const path = pathAt(task, at, AT_FDCWD);
  if (path?.startsWith('/')) task.group.directory = path;
}

/** A path argument, absolute if its base directory is known. */
function pathAt(task: Task, at: Gva, directory: number): string | null {
  const bytes = new Uint8Array(MAX_PATH);
  const text = bytes.subarray(0, at > 0 ? task.space.read(at, bytes) : 0);
  const end = text.indexOf(0);
  if (end <= 0) return null;
  const path = nameOf(text.subarray(0, end));
  if (path.startsWith('/')) return path;
  if (directory === AT_FDCWD) return task.group.directory === null ? path : `${task.group.directory}/${path}`;
  return null;
}

function readMask(task: Task, at: Gva): bigint | null {
  const bytes = peek(task, at, 8);
  return bytes && new DataView(bytes.buffer).getBigUint64(0, true);
}

function peek(task: Task, at: Gva, size: number): Uint8Array | null {
  const bytes = new Uint8Array(size);
  return at > 0 && task.space.read(at, bytes) === size ? bytes : null;
}

const pointer = (registers: RegisterWords, slot: number): Gva => gva(getUnsigned(registers, slot));
