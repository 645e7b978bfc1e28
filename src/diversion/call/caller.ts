import { hex, type Gva, gva } from '../../engine/base/address.js';
import { RevenantError, invariant } from '../../engine/base/errors.js';
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import {
  REGISTER_NAMES,
  Reg,
  getRegister,
  getUnsigned,
  setRegister,
  setSigned,
  type RegisterWords,
} from '../../engine/base/registers.js';
import type { DebugStop, MutableTarget } from '../../engine/target.js';
import { roundDown } from './round.js';
import type { Argument } from './value.js';

/** The integer arguments of the System V ABI, in order. */
const ARGUMENT_REGISTERS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.rcx, Reg.r8, Reg.r9];
/**
 * Diversions map a page there that is readable, for unwinders, but not executable: the fault there
 * is the return. The kernel keeps the last user page free, so it does not collide with the
 * program's mappings.
 */
export const RETURN_ADDRESS = gva(0x7fff_ffff_f000);
const RED_ZONE = 128;
/** Offsets in an XSAVE area: xmm0, and XSTATE_BV (SDM volume 1, 13.4). */
const XMM0 = 160;
const XMM_BYTES = 16;
const VECTOR_ARGUMENTS = 8;
const XSTATE_BV = 512;
const XSTATE_SSE = 2;

export type { Argument } from './value.js';

export interface CallResult {
  /** rax. */
  readonly value: bigint;
  /** xmm0, as a double. */
  readonly float: number;
  /** The lower half of the same, as a float. */
  readonly single: number;
}

/** The call did not return. */
export class CallFailed extends RevenantError {
  constructor(
    message: string,
    readonly stop: DebugStop,
    hint?: string,
  ) {
    super('E_DIVERSION', message, hint);
  }
}

/** Waits for the next stop of the current run. */
export type WaitForStop = () => Promise<DebugStop>;

/** Calls functions in a diversion, on the stack of a task. */
export class Caller {
  readonly tid: number;
  /** Registers and vector state before the current call. */
  private before: { registers: RegisterWords; vectors: Uint8Array } | null = null;

  /**
   * @param tid the task of the calls
   * @param floor the stack above it is in use
   */
  constructor(
    private readonly target: MutableTarget,
    tid = target.currentTid,
    private floor = Infinity,
  ) {
    this.tid = tid;
  }

  /** Nothing was placed below it. */
  get freeBelow(): number {
    return this.floor;
  }

  /** Puts bytes below the stack pointer, for as long as the diversion lasts; returns where. */
  place(bytes: Uint8Array): Gva {
    const at = gva(roundDown(this.room(this.target.registers(this.tid)) - bytes.length, 16));
    if (this.target.writeMemory(this.tid, at, bytes) < bytes.length)
      throw new RevenantError(
        'E_DIVERSION',
        `The stack has no room for ${bytes.length} bytes at ${hex(at)}.`,
      );
    this.floor = at;
    return at;
  }

  /** The stack below it is free. */
  private room(registers: RegisterWords): number {
    return Math.min(this.floor, getUnsigned(registers, Reg.rsp) - RED_ZONE);
  }

  register(name: string): bigint {
    const slot = REGISTER_NAMES.findIndex((each) => each === name);
    if (slot < 0) throw new RevenantError('E_USAGE', `Unknown register $${name}.`);
    return getRegister(this.target.registers(this.tid), slot);
  }

  /**
   * Prepares a call: the next runs of the target are part of it, until `finished` returns its result.
   * @param values any number: those without a register are passed on the stack, in their order
   */
  enter(address: bigint, values: readonly Argument[]): void {
    const { target, tid } = this;
    const registers = target.registers(tid);
    const { whole, vectors, onStack } = inPlaces(values);
    this.before = { registers: registers.slice(), vectors: Uint8Array.from(target.vectorState(tid)) };
    const rsp = this.room(registers) - 8 * onStack.length;
    const frame = new Uint8Array(8 * (onStack.length + 1));
    const view = new DataView(frame.buffer);
    view.setBigUint64(0, BigInt(RETURN_ADDRESS), true);
    onStack.forEach((value, index) => view.setBigUint64(8 * (index + 1), BigInt.asUintN(64, value), true));
    const at = gva(roundDown(rsp, 16) - 8);
    if (target.writeMemory(tid, at, frame) < frame.length)
      throw new RevenantError('E_DIVERSION', `The stack at ${hex(at)} cannot be written.`);
    whole.forEach((value, index) =>
      setRegister(registers, ARGUMENT_REGISTERS[index], BigInt.asUintN(64, value)),
    );
    this.setVectors(vectors);
    setSigned(registers, Reg.rsp, at);
    setRegister(registers, Reg.rip, address);
    // Variadic functions expect the number of vector registers with arguments here.
    setSigned(registers, Reg.rax, vectors.length);
    setSigned(registers, Reg.orig_rax, -1);
    registers[2 * Reg.eflags] &= ~0x500;
    target.setRegisters(tid, registers);
  }

  private setVectors(values: readonly bigint[]): void {
    if (values.length === 0) return;
    const image = Uint8Array.from(this.target.vectorState(this.tid));
    const view = new DataView(image.buffer);
    values.forEach((value, index) => {
      view.setBigUint64(XMM0 + XMM_BYTES * index, value, true);
      view.setBigUint64(XMM0 + XMM_BYTES * index + 8, 0n, true);
    });
    image[XSTATE_BV] |= XSTATE_SSE;
    this.target.setVectorState(this.tid, image);
  }

  /** The result, if the stop is the call's return; the task is then back where it was before. */
  returned(stop: DebugStop): CallResult | null {
    if (stop.kind !== 'signal' || stop.tid !== this.tid) return null;
    const registers = this.target.registers(this.tid);
    if (getUnsigned(registers, Reg.rip) !== RETURN_ADDRESS) return null;
    const image = this.target.vectorState(this.tid);
    const view = new DataView(image.buffer, image.byteOffset);
    const [float, single] = [view.getFloat64(XMM0, true), view.getFloat32(XMM0, true)];
    const { before } = this;
    this.before = null;
    if (before) this.putBack(before);
    return { value: getRegister(registers, Reg.rax), float, single };
  }

  /**
   * Calls a function and waits for its return.
   * @throws CallFailed: the task is then where the call has ended
   */
  async run(address: bigint, values: readonly Argument[], wait: WaitForStop): Promise<CallResult> {
    this.enter(address, values);
    this.start();
    for (;;) {
      const stop = await wait();
      const result = this.returned(stop);
      if (result) return result;
      this.pass(stop);
    }
  }

  /** Abandons a failed call: its task is back where it was before, if it still exists. */
  abandon(): void {
    const { before, target, tid } = this;
    this.before = null;
    if (before && target.tasks().some((task) => task.tid === tid)) this.putBack(before);
  }

  private putBack({ registers, vectors }: { registers: RegisterWords; vectors: Uint8Array }): void {
    this.target.setRegisters(this.tid, registers);
    this.target.setVectorState(this.tid, vectors);
  }

  /** Runs on after a stop that is the program's own business; throws what ends the call. */
  pass(stop: DebugStop): void {
    const go = (signal: number): void =>
      this.target.begin({
        direction: 'forward',
        tid: stop.kind === 'signal' ? stop.tid : this.tid,
        mode: { kind: 'continue' },
        signal,
      });
    const failure = failureOf(this.target, this.tid, stop);
    if (failure) throw failure;
    go(stop.kind === 'signal' ? stop.signal : 0);
  }

  /** Precondition: nothing is running. */
  start(): void {
    invariant(this.target.kind === 'diversion', 'only diversions run calls');
    this.target.begin({ direction: 'forward', tid: this.tid, mode: { kind: 'continue' } });
  }
}

/**
 * Why a call in task `tid` with this stop does not return, or null: it may continue. Other
 * processes do not matter. Precondition: the target is at the stop.
 */
export function failureOf(target: MutableTarget, tid: number, stop: DebugStop): CallFailed | null {
  const pidOf = (wanted: number): number => target.tasks().find((task) => task.tid === wanted)?.pid ?? 0;
  switch (stop.kind) {
    case 'signal': {
      const isOwn = pidOf(stop.tid) === pidOf(tid);
      return isOwn && !target.handles(stop.tid, stop.signal) ? crashed(target, stop) : null;
    }
    case 'ended':
      return new CallFailed(`The call did not return. ${stop.reason}`, stop);
    case 'exited':
      return stop.pid === pidOf(tid) ? new CallFailed(describeExit(stop), stop) : null;
    case 'interrupted':
      return new CallFailed('The call was interrupted.', stop);
    default:
      return null;
  }
}

function crashed(target: MutableTarget, stop: Extract<DebugStop, { kind: 'signal' }>): CallFailed {
  const rip = getUnsigned(target.registers(stop.tid), Reg.rip);
  const name = SIGNAL_NAMES[stop.signal] ?? `signal ${stop.signal}`;
  const info = stop.siginfo && new DataView(stop.siginfo.buffer, stop.siginfo.byteOffset, 24);
  const fault = [7, 11].includes(stop.signal) && info ? info.getBigUint64(16, true) : null;
  const touching = fault === null ? '' : `, touching ${hex(fault)}`;
  return new CallFailed(
    `The call ended with ${name} in task ${stop.tid} at ${hex(rip)}${touching}.`,
    stop,
    'The replay is unchanged. In gdb, the state at the crash can be inspected.',
  );
}

interface Placement {
  readonly whole: readonly bigint[];
  readonly vectors: readonly bigint[];
  readonly onStack: readonly bigint[];
}

/** As the System V ABI passes arguments: six whole numbers and eight floating-point ones in registers. */
function inPlaces(values: readonly Argument[]): Placement {
  const [whole, vectors, onStack]: bigint[][] = [[], [], []];
  for (const value of values) {
    const isWhole = typeof value === 'bigint';
    const bits = isWhole ? value : bitsOf(value);
    const registers = isWhole ? whole : vectors;
    const count = isWhole ? ARGUMENT_REGISTERS.length : VECTOR_ARGUMENTS;
    (registers.length < count ? registers : onStack).push(bits);
  }
  return { whole, vectors, onStack };
}

function bitsOf({ float, isSingle }: Exclude<Argument, bigint>): bigint {
  const view = new DataView(new ArrayBuffer(8));
  if (isSingle) view.setFloat32(0, float, true);
  else view.setFloat64(0, float, true);
  return view.getBigUint64(0, true);
}

function describeExit({ pid, status }: Extract<DebugStop, { kind: 'exited' }>): string {
  if (status === null) return `Process ${pid} ended in the call.`;
  const signal = status & 0x7f;
  const how = signal
    ? `was killed by ${SIGNAL_NAMES[signal] ?? `signal ${signal}`}`
    : `exited with status ${status >> 8}`;
  return `Process ${pid} ${how} in the call.`;
}
