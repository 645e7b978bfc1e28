import { wordsToGva } from '../../base/address.js';
import { MAX_ERRNO, RESTART_BLOCK, RESTART_RESULTS, Sys } from '../../base/linux.js';
import { Reg, getSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { setsKey } from '../../trace/use.js';
import { writeLocalDescriptor, writeThreadDescriptor } from '../../guest/descriptor-tables.js';
import { RrCall } from '../../guest/rr-abi.js';
import { initBuffers, initPreload } from '../program/syscallbuf.js';
import { noteCall, noteSigreturn } from './facts/state.js';
import { isNotedForFiles, noteFiles } from './facts/files.js';
import { trackDescriptors } from './io.js';
import * as memory from './memory.js';
import { exitPtrace } from './ptrace.js';
import { warnOfReceived } from './received.js';
import { archPrctl, prctl, rseq, unshare } from './process.js';

type Handler = (core: ReplayCore, task: Task, frame: TraceFrame) => void;

/** Calls whose success does more than deliver recorded data (rr-traces.md 6). */
const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [Sys.mmap, memory.mmap],
  [Sys.munmap, memory.munmap],
  [Sys.mprotect, memory.mprotectFrame],
  [Sys.pkey_mprotect, pkeyMprotect],
  [Sys.brk, memory.brk],
  [Sys.mremap, memory.mremap],
  [Sys.madvise, (core, task, frame) => memory.madvise(core, task, frame, failed(frame))],
  [Sys.shmat, memory.shmat],
  [Sys.shmdt, memory.shmdt],
  [Sys.arch_prctl, archPrctl],
  [Sys.prctl, prctl],
  [Sys.rseq, rseq],
  [Sys.unshare, unshare],
  [Sys.pkey_alloc, pkeyAlloc],
  [Sys.set_thread_area, setThreadArea],
  [Sys.modify_ldt, modifyLdt],
  [Sys.ptrace, exitPtrace],
]);

/** Calls whose handler runs even if the recorded call failed. */
const RUN_ON_FAILURE: ReadonlySet<number> = new Set([Sys.madvise, Sys.mprotect, Sys.pkey_mprotect]);
/** orig_rax of a call that the recorder vetoed, and of one that a seccomp filter kept from the kernel. */
const VETOED = -2;
const FILTERED = -1;

/** True for calls whose exit does more than deliver recorded data and a result, with any arguments. */
export const hasExitWork = (number: number): boolean =>
  HANDLERS.has(number) || number === Sys.rt_sigreturn || number === Sys.restart_syscall;

/** What the caller has to verify after `performExit`. */
export type ExitOutcome = 'compare' | 'loaded';

/** The exit of a system call: its effects in rr's order (rr-traces.md 5.4). Not for successful execs. */
export function performExit(core: ReplayCore, task: Task, frame: TraceFrame): ExitOutcome {
  const result = getSigned(frame.registers, Reg.rax);
  let number = frame.syscallNumber;
  if (number !== Sys.rt_sigreturn && RESTART_RESULTS.includes(result)) {
    core.applyMemWrites(frame, task);
    loadResult(core, task, frame);
    // The others have stored the remaining time.
    if (result !== RESTART_BLOCK) task.syscallSince = frame.monotonicSec;
    return 'loaded';
  }
  task.syscall = -1;
  if (number === Sys.restart_syscall) number = getSigned(core.registers(task), Reg.orig_rax);
  if (number === Sys.rt_sigreturn) {
    noteSigreturn(core, task);
    core.loadRegisters(task, frame);
    if (frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
    core.applyMemWrites(frame, task);
    return 'loaded';
  }
  const executed = getSigned(frame.registers, Reg.orig_rax);
  const vetoed = executed === VETOED;
  // A result that a filter returned, such as 0, has none of the call's effects.
  if (executed === FILTERED && number >= 0) number = FILTERED;
  if (vetoed) core.loadRegisters(task, frame);
  else if (number === core.header.rrcallBase + RrCall.initBuffers && !failed(frame)) {
    initBuffers(core, task, frame);
    loadResult(core, task, frame);
    return 'compare';
  } else runHandler(core, task, frame, number);

  trackDescriptors(core, task, number, frame.registers, result, frame.extra);
  if (!vetoed && result >= 0) noteCall(task, number, frame.registers, result);
  core.applyMemWrites(frame, task);
  if (!vetoed && result >= 0) warnOfReceived(core, task, number, frame.registers);
  if (core.notesFiles && !vetoed && isNotedForFiles(number))
    noteFiles(core, task, number, frame.registers, result, frame.monotonicSec, false);
  loadResult(core, task, frame);
  if (number === core.header.rrcallBase + RrCall.rdtsc) copyRegister(core, task, frame, Reg.rdx);
  return 'compare';
}

function runHandler(core: ReplayCore, task: Task, frame: TraceFrame, number: number): void {
  if (failed(frame) && !RUN_ON_FAILURE.has(number)) return;
  if (number === core.header.rrcallBase + RrCall.initPreload) return initPreload(core, task, frame);
  HANDLERS.get(number)?.(core, task, frame);
}

/** Function 0 and 2 only read (arch/x86/kernel/ldt.c). */
function modifyLdt(core: ReplayCore, task: Task, { registers }: TraceFrame): void {
  const operation = registers[2 * Reg.rdi];
  const pointer = wordsToGva(registers[2 * Reg.rsi], registers[2 * Reg.rsi + 1]);
  if ((operation !== 1 && operation !== 0x11) || pointer < 0) return;
  writeLocalDescriptor(task, pointer, operation === 1);
  core.descriptorsChanged(task);
}

function setThreadArea(core: ReplayCore, task: Task, { registers }: TraceFrame): void {
  const pointer = wordsToGva(registers[2 * Reg.rdi], registers[2 * Reg.rdi + 1]);
  if (pointer < 0) return;
  writeThreadDescriptor(task, task, pointer);
  core.descriptorsChanged(task);
}

/** Protection keys themselves are not reproduced; PKRU is, where the frame brings it (rr-traces.md 6.4). */
function pkeyAlloc(core: ReplayCore, task: Task, frame: TraceFrame): void {
  if (frame.extraRegisters) core.loadVectors(task, frame.extraRegisters);
}

/** Most programs that do this are known before they run (trace/use.ts). */
function pkeyMprotect(core: ReplayCore, task: Task, frame: TraceFrame): void {
  if (setsKey(frame)) core.machine.requireKeysBeside(`Task ${task.tid}`);
  memory.mprotectFrame(core, task, frame);
}

function failed(frame: TraceFrame): boolean {
  const result = getSigned(frame.registers, Reg.rax);
  return result < 0 && result >= -MAX_ERRNO;
}

function loadResult(core: ReplayCore, task: Task, frame: TraceFrame): void {
  copyRegister(core, task, frame, Reg.rax);
  copyRegister(core, task, frame, Reg.orig_rax);
}

function copyRegister(core: ReplayCore, task: Task, frame: TraceFrame, slot: number): void {
  const registers = core.registers(task);
  registers[2 * slot] = frame.registers[2 * slot];
  registers[2 * slot + 1] = frame.registers[2 * slot + 1];
}
