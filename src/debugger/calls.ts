/** Calls that gdb makes in a diversion, as distinguished from changes by the user. */
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
  /** Their previous values, as read by gdb. */
  readonly before: RegisterWords;
  /** The same as the diversion had them: it has completed system calls that the replay is inside of. */
  readonly own: RegisterWords;
  /** The call that they were written for; null: presumably a change by the user. */
  call: PreparedCall | null;
}

export interface Lender {
  /** The diversion has stopped; registers and memory are those of the stop. */
  note(stop: DebugStop): void;
  /** It cannot continue: the machine was lost, or an internal error. */
  failed(error: RevenantError): void;
}

export interface Diversion {
  readonly target: MutableTarget;
  /** Collects the output of calls until they return; null: not collected. */
  readonly buffers: OutputBuffers | null;
  /** Begun by a command, so that only a command ends it; else by a write, and ended when that is undone. */
  explicit: boolean;
  /** Why it cannot run on, once it cannot. */
  over: string | null;
  /** It has run and stopped: gdb's registers are now the diversion's, not the replay's. */
  ran: boolean;
  /** Memory has been written that no call of gdb's needs: by the user. */
  changed: boolean;
  /** Tasks whose registers gdb has written and not restored. */
  readonly written: Map<number, WrittenTask>;
  /** The task whose registers were written last, unless it has stopped since. */
  lastWritten: number | null;
  /** Where gdb may write next for a call: what the last call returned is memory that gdb has allocated. */
  allocated: bigint | null;
  /** Set if the diversion has another owner, which closes it, takes its output, and is notified how runs ended. */
  readonly lent?: Lender;
}

/** Below the stack pointer of functions that call no others (System V ABI): gdb pushes below that. */
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

/** The task of the diversion that must run first: gdb names none when it resumes all, but it has prepared one. */
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

/** A call has begun and not returned. */
export const isInCall = ({ written }: Diversion): boolean =>
  [...written.values()].some(({ call }) => call !== null);

/** What the user has changed is to stay: memory, or registers of a task that is in no call. */
export const hasChanges = ({ changed, written }: Diversion): boolean =>
  changed || [...written.values()].some(({ call }) => call === null);

/** Bits of eflags that stepping leaves: TF and RF. */
const STEPPING_FLAGS = 0x1_0100;

/** orig_rax is ignored: gdb writes -1 to it when it changes rip, so that no system call is restarted. */
export function sameRegisters(a: RegisterWords, b: RegisterWords): boolean {
  for (let slot = 0; slot * 2 < a.length; slot++) {
    const ignored = slot === Reg.orig_rax ? ~0 : slot === Reg.eflags ? STEPPING_FLAGS : 0;
    if (((a[2 * slot] ^ b[2 * slot]) & ~ignored) !== 0) return false;
    if (slot !== Reg.orig_rax && a[2 * slot + 1] !== b[2 * slot + 1]) return false;
  }
  return true;
}
