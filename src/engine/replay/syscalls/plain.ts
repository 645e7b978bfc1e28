import { USER_END, wordsToNumber } from '../../base/address.js';
import { RESTART_RESULTS, Sys } from '../../base/linux.js';
import { Reg, getSigned, newRegisters, type RegisterWords } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import { Arch, EventKind, SyscallState, type TraceFrame } from '../../trace/frame.js';
import { UNTRACED_EXITS } from '../../guest/rr-abi.js';
import { registersMatch } from '../plan/verify.js';
import { hasEntryWork } from './enter.js';
import { hasExitWork } from './exit.js';
import { isNotedByMemory } from './facts/state.js';
import { isNotedForFiles } from './facts/files.js';
import { changesDescriptors } from './io.js';

/** Calls from here on are rr's own, far above the kernel's. */
const FIRST_PRIVATE_CALL = 1000;

/**
 * A plain system call: two consecutive frames, of which the first has no effect and the second only a result and
 * bytes to store. Then it can be completed without the engine (staged calls). Other calls are only slower.
 * @param notesFiles calls on files are tracked, and cannot be staged
 */
export function isPlainCall(task: Task, entry: TraceFrame, exit: TraceFrame, notesFiles = false): boolean {
  if (notesFiles && isNotedForFiles(entry.syscallNumber)) return false;
  return isPlainEntry(task, entry) && isPlainExit(entry, exit);
}

function isPlainEntry(task: Task, entry: TraceFrame): boolean {
  const number = entry.syscallNumber;
  return (
    isBareCall(entry, SyscallState.entering) &&
    entry.tid === task.tid &&
    !entry.failedDuringPreparation &&
    entry.memWriteCount === 0 &&
    number >= 0 &&
    number < FIRST_PRIVATE_CALL &&
    !hasEntryWork(number) &&
    !hasExitWork(number) &&
    !isNotedByMemory(number) &&
    !changesDescriptors(task, number, entry.registers) &&
    getSigned(entry.registers, Reg.orig_rax) === number &&
    !UNTRACED_EXITS.includes(getSigned(entry.registers, Reg.rip))
  );
}

const isBareCall = (frame: TraceFrame, state: number): boolean =>
  frame.kind === EventKind.syscall &&
  frame.syscallState === state &&
  frame.arch === Arch.x8664 &&
  frame.syscallArch === Arch.x8664 &&
  frame.extraRegisters === null &&
  frame.extra.kind === 'none';

function isPlainExit(entry: TraceFrame, exit: TraceFrame): boolean {
  return (
    isBareCall(exit, SyscallState.exiting) &&
    exit.tid === entry.tid &&
    exit.syscallNumber === entry.syscallNumber &&
    !RESTART_RESULTS.includes(getSigned(exit.registers, Reg.rax)) &&
    onlyResultDiffers(entry.registers, exit.registers) &&
    !mayReceiveDescriptors(exit) &&
    writesArePlain(exit)
  );
}

/** A message that is more than its header and one piece of data may have control messages. */
const mayReceiveDescriptors = ({ syscallNumber, memWriteCount }: TraceFrame): boolean =>
  syscallNumber === Sys.recvmsg && memWriteCount > 2;

const RAX_LOW = 2 * Reg.rax;
const scratch = newRegisters();

/** orig_rax included: a call that was vetoed or filtered has another there. */
function onlyResultDiffers(entry: RegisterWords, exit: RegisterWords): boolean {
  if (entry[2 * Reg.orig_rax] !== exit[2 * Reg.orig_rax]) return false;
  if (entry[2 * Reg.orig_rax + 1] !== exit[2 * Reg.orig_rax + 1]) return false;
  scratch.set(exit);
  scratch[RAX_LOW] = entry[RAX_LOW];
  scratch[RAX_LOW + 1] = entry[RAX_LOW + 1];
  return registersMatch(entry, scratch);
}

function writesArePlain(exit: TraceFrame): boolean {
  for (let index = 0; index < exit.memWriteCount; index++) {
    const { tid, size, sizeIsConservative, addressLow, addressHigh } = exit.memWrites[index];
    const start = wordsToNumber(addressLow, addressHigh);
    if (tid !== exit.tid || size === 0 || sizeIsConservative || start === 0 || start + size > USER_END)
      return false;
  }
  return true;
}
