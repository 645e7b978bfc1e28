/** Calls that gdb makes in a diversion, told from what the user changes there. */
import { memoryOf, readWord } from '../engine/base/memory-values.js';
import type { RevenantError } from '../engine/base/errors.js';
import { Reg, getUnsigned, type RegisterWords } from '../engine/base/registers.js';
import type { DebugStop, DebugTarget, MutableTarget, OutputBuffers } from '../engine/target.js';
import type { BreakpointTable } from './breakpoints.js';

/** A call that gdb has prepared. */
export interface PreparedCall {
  /** Where it returns to: gdb has a breakpoint there. */
  readonly returnsTo: number;
  /** The stack pointer after the return. */
  readonly stack: number;
  /** The function's first instruction. */
  readonly address: number;
}

/** A task whose registers gdb has written. */
export interface WrittenTask {
  /** What they were before, as gdb knows them. */
  readonly before: RegisterWords;
  /** The same as the diversion had them: it has completed system calls that the replay is inside of. */
  readonly own: RegisterWords;
  /** The call that they were written for; null: the user's change, as far as is known. */
  call: PreparedCall | null;
}

export interface Lender {
  /** The diversion has stopped; registers and memory are those of the stop. */
  note(stop: DebugStop): void;
  /** It cannot run on: the machine is lost, or a defect. */
  failed(error: RevenantError): void;
}

export interface Diversion {
  readonly target: MutableTarget;
  /** Where what calls print stays until they have returned; null: nobody looks. */
  readonly buffers: OutputBuffers | null;
  /** Begun by a command, so that only a command ends it; else by a write, and over when nothing is left of that. */
  explicit: boolean;
  /** Why it cannot run on, once it cannot. */
  over: string | null;
  /** It has run and stopped: what gdb knows of registers is the diversion's, not the replay's any more. */
  ran: boolean;
  /** Memory has been written that no call of gdb's needs: by the user. */
  changed: boolean;
  /** Tasks whose registers gdb has written and not put back. */
  readonly written: Map<number, WrittenTask>;
  /** The task whose registers were written last and which has not stopped since. */
  lastWritten: number | null;
  /** Where gdb may write next for a call: what the last call returned is memory that gdb has allocated. */
  allocated: bigint | null;
  /** Set where the diversion is somebody else's: who closes it, takes its output, and wants to know how runs ended. */
  readonly lent?: Lender;
}

/** Below the stack pointer of functions that call no others (System V ABI): what gdb pushes lies below that. */
const RED_ZONE = 128;
/** More than gdb ever pushes. */
const PUSHED = 8 << 20;

/** gdb writes registers of a task: a call is over when it has put them back as it knew them, from the replay at first. */
export function writingRegisters(
  diversion: Diversion,
  replay: DebugTarget,
  tid: number,
  write: () => void,
): void {
  const { written, target } = diversion;
  const inReplay = !diversion.ran && replay.tasks().some((task) => task.tid === tid);
  const state = written.get(tid) ?? {
    before: inReplay ? replay.registers(tid) : target.registers(tid),
    own: target.registers(tid),
    call: null,
  };
  write();
  if (sameRegisters(state.before, target.registers(tid))) {
    if (!sameRegisters(state.before, state.own)) target.setRegisters(tid, state.own);
    written.delete(tid);
  } else written.set(tid, state);
  diversion.lastWritten = tid;
}

/** gdb has written memory: for a call it pushes arguments, and fills what `malloc` has returned. */
export function noteMemory(diversion: Diversion, tid: number, address: number, size: number): void {
  const registers = diversion.written.get(tid)?.before ?? diversion.target.registers(tid);
  const stack = getUnsigned(registers, Reg.rsp) - RED_ZONE;
  const isPushed = address < stack && address >= stack - PUSHED;
  const isAllocated = diversion.allocated === BigInt(address);
  if (isAllocated) diversion.allocated = BigInt(address + size);
  if (!isPushed && !isAllocated) diversion.changed = true;
}

/** The task of the diversion that is to run first: gdb names none where all run, but it has prepared one. */
export const preparedTask = ({ lastWritten, written }: Diversion): number | null =>
  lastWritten !== null && written.has(lastWritten) ? lastWritten : null;

/** A call has been prepared and is about to run for the first time: its task; else null. */
export function callBegins(diversion: Diversion, breakpoints: BreakpointTable): number | null {
  const tid = diversion.lastWritten;
  const state = tid === null ? undefined : diversion.written.get(tid);
  if (tid === null || !state) return null;
  const registers = diversion.target.registers(tid);
  const [address, rsp] = [getUnsigned(registers, Reg.rip), getUnsigned(registers, Reg.rsp)];
  const { call } = state;
  if (call && (call.stack <= rsp + 8 || call.address === address)) return null;
  if (getUnsigned(state.before, Reg.rip) === address) return null;
  const returnsTo = readWord(memoryOf(diversion.target, tid), rsp);
  if (returnsTo === null || breakpoints.kindAt(Number(returnsTo)) === null) return null;
  state.call = { returnsTo: Number(returnsTo), stack: rsp + 8, address };
  return tid;
}

/** The call whose return a stop is, or null. */
export function callReturned({ target, written }: Diversion, stop: DebugStop): PreparedCall | null {
  const call = stop.kind === 'breakpoint' ? written.get(stop.tid)?.call : null;
  if (!call || stop.kind !== 'breakpoint' || stop.address !== call.returnsTo) return null;
  return getUnsigned(target.registers(stop.tid), Reg.rsp) === call.stack ? call : null;
}

/** A call has begun and not come back. */
export const isInCall = ({ written }: Diversion): boolean =>
  [...written.values()].some(({ call }) => call !== null);

/** What the user has changed is to stay: memory, or registers of a task that is in no call. */
export const hasChanges = ({ changed, written }: Diversion): boolean =>
  changed || [...written.values()].some(({ call }) => call === null);

/** Bits of eflags that stepping leaves: TF and RF. */
const STEPPING_FLAGS = 0x1_0100;

/** orig_rax does not count: gdb writes -1 to it when it changes rip, so that no system call is restarted. */
export function sameRegisters(a: RegisterWords, b: RegisterWords): boolean {
  for (let slot = 0; slot * 2 < a.length; slot++) {
    const ignored = slot === Reg.orig_rax ? ~0 : slot === Reg.eflags ? STEPPING_FLAGS : 0;
    if (((a[2 * slot] ^ b[2 * slot]) & ~ignored) !== 0) return false;
    if (slot !== Reg.orig_rax && a[2 * slot + 1] !== b[2 * slot + 1]) return false;
  }
  return true;
}
