import { hex, type Gva, gva } from '../../base/address.js';
import { Signal, SignalCode } from '../../base/linux.js';
import { Reg, getRegister, ripOf } from '../../base/registers.js';
import { Suppress } from '../../guest/stops/guest-stops.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import { MAX_INSTRUCTION_LENGTH } from '../../x86/decode.js';
import { iced } from '../../x86/iced.js';
import { memoryAddress, withInstruction } from '../../x86/operands.js';
import {
  FLOAT_FLAGS,
  mxcsrOfFault,
  unraisedAt,
  usesMmx,
  x87Raises,
  type Unraised,
} from '../../x86/unraised.js';
import { isWild, leadsTo, undoBranch } from '../../x86/wild-branch.js';
import { xrstorFault } from '../../x86/xrstor.js';
import { MXCSR, readU32, writeU32 } from '../../x86/xstate-image.js';
import { EXTENDED_OFFSET } from '../../x86/xstate-layout.js';
import type { ReplayContext } from './context.js';
import { signalOf } from '../plan/plan.js';
import { Stop } from '../run/runner.js';
import { Goal, type ReplayStep } from '../plan/step.js';
import { registersMatch, stateMatches } from '../plan/verify.js';
import { Exception } from '../../x86/constants.js';
import { readMemory } from '../../guest/memory-reader.js';

/**
 * Faults that this machine raises differently than a processor, or not at all. The frame has
 * instruction and registers, so the place is known: if the fault may be omitted, the place gets a
 * breakpoint like that of an asynchronous event, and whether the fault occurs is decided at each
 * arrival with equal registers.
 */

/** MXCSR's reserved bits, if no recorded image has shown them. */
const DEFAULT_MXCSR_MASK = 0xffff;

/** How the fault of this frame may be omitted here; 'none' for frames that are not faults. */
export function unraisedOf(
  { core }: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
): Unraised {
  if (step.goal !== Goal.fault || step.address < 0) return 'none';
  const { leftOut } = core.machine;
  return unraisedAt(codeAt(task, step.address), step.signal, signalOf(frame).code, leftOut);
}

/**
 * At the instruction whose fault may be omitted, before it is executed.
 * @returns Stop.fault if it is raised, with nothing executed; Stop.breakpoint if not; or the stop of executing the
 * instruction, if this was necessary to decide
 */
export function tryFault(
  context: ReplayContext,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
  unraised: Unraised,
): Stop {
  const { core, runner } = context;
  if (!stateMatches(frame.registers, core.machine.context.registers)) return Stop.breakpoint;
  const stop = decide(context, task, frame, unraised);
  if (stop !== Stop.fault) return stop;
  runner.signal = step.signal;
  runner.address = -1;
  return stop;
}

function decide(context: ReplayContext, task: Task, frame: TraceFrame, unraised: Unraised): Stop {
  const { vectors } = context.core;
  switch (unraised) {
    case 'none':
      return Stop.breakpoint;
    case 'registers':
      return Stop.fault;
    case 'mxcsr':
      return loadsReservedBits(context, task, frame) ? Stop.fault : Stop.breakpoint;
    default: {
      const image = vectors.save(null);
      const [control, status] = [image[0] | (image[1] << 8), image[2] | (image[3] << 8)];
      // An MMX instruction may meet an exception of the x87's.
      const code = unraised === 'x87' ? signalOf(frame).code : 0;
      if (x87Raises(control, status, code))
        return isOfX87(task, frame, unraised) ? Stop.fault : Stop.breakpoint;
      return unraised === 'x87' ? Stop.breakpoint : executeSimd(context, task, frame, image);
    }
  }
}

/** x87 instructions, and of the others those that use MMX registers. */
function isOfX87(task: Task, frame: TraceFrame, unraised: Unraised): boolean {
  if (unraised === 'x87') return true;
  return withFaulting(task, frame, usesMmx);
}

/** LDMXCSR, FXRSTOR and XRSTOR of reserved bits of MXCSR: #GP on processors. */
function loadsReservedBits({ core }: ReplayContext, task: Task, frame: TraceFrame): boolean {
  const { vectors } = core;
  const mask = vectors.learntMask ?? DEFAULT_MXCSR_MASK;
  return withFaulting(task, frame, (instruction) => {
    const { Mnemonic } = iced();
    const { mnemonic } = instruction;
    const at = memoryAddress(instruction, frame.registers);
    if (mnemonic !== Mnemonic.Xrstor && mnemonic !== Mnemonic.Xrstor64) {
      const isWhole = mnemonic === Mnemonic.Fxrstor || mnemonic === Mnemonic.Fxrstor64;
      const bytes = new Uint8Array(4);
      const whole = readMemory(task)(at + (isWhole ? BigInt(MXCSR) : 0n), bytes) === bytes.length;
      return whole && (readU32(bytes, 0) & ~mask) !== 0;
    }
    const area = new Uint8Array(EXTENDED_OFFSET);
    if (readMemory(task)(at, area) < area.length) return false;
    const [low, high] = [getRegister(frame.registers, Reg.rax), getRegister(frame.registers, Reg.rdx)];
    const requested = ((high & 0xffff_ffffn) << 32n) | (low & 0xffff_ffffn);
    return xrstorFault(area, vectors.recorded, requested, mask, vectors.recordsXsavec) !== null;
  });
}

/**
 * Executes an instruction with MXCSR's exception flags clear and checks which it sets. If it should
 * have raised #XM, all its changes are undone. `image`: the vector state before.
 */
function executeSimd(context: ReplayContext, task: Task, frame: TraceFrame, image: Uint8Array): Stop {
  const { core } = context;
  const { vectors, machine } = core;
  const mxcsr = readU32(image, MXCSR);
  if (((mxcsr >>> 7) & FLOAT_FLAGS) === FLOAT_FLAGS) return Stop.breakpoint;
  const registers = machine.context.registers.slice();
  const stored = destination(task, frame);
  const unnoted = image.slice();
  writeU32(unnoted, MXCSR, mxcsr & ~FLOAT_FLAGS);
  vectors.load(unnoted);
  const stop = stepLifted(context, task);
  if (stop !== Stop.step) {
    vectors.load(image);
    return stop;
  }
  const after = vectors.save(null);
  const flags = readU32(after, MXCSR) & FLOAT_FLAGS;
  const raised = mxcsrOfFault(mxcsr, flags, signalOf(frame).code);
  if (raised === null) {
    writeU32(after, MXCSR, mxcsr | flags);
    vectors.load(after);
    return Stop.step;
  }
  machine.context.registers.set(registers);
  if (stored) task.space.write(stored.at, stored.bytes);
  writeU32(image, MXCSR, raised);
  vectors.load(image);
  return Stop.fault;
}

/** What VCVTPS2PH will overwrite; the other instructions of MXCSR's exceptions write registers. */
function destination(task: Task, frame: TraceFrame): { at: Gva; bytes: Uint8Array } | null {
  return withFaulting(task, frame, (instruction) => {
    const { MemorySizeExt, OpKind } = iced();
    if (instruction.op0Kind !== OpKind.Memory) return null;
    const at = gva(Number(memoryAddress(instruction, frame.registers)));
    const bytes = new Uint8Array(MemorySizeExt.size(instruction.memorySize));
    return { at, bytes: bytes.subarray(0, task.space.read(at, bytes)) };
  });
}

/** One instruction, under a breakpoint or not. */
export function stepLifted({ runner, stepper }: ReplayContext, task: Task): Stop {
  const { stops } = runner;
  if (!stops) return stepper.stepNow(task);
  const { suppress } = stops;
  stops.suppress = Suppress.breakpoints;
  const stop = stepper.stepNow(task);
  stops.suppress = suppress;
  return stop;
}

/**
 * A fault at the target of a branch that a processor does not take is moved to the branch, if the frame has it.
 */
export function undoWildBranch({ core, runner }: ReplayContext, task: Task, frame: TraceFrame): void {
  const { registers } = core.machine.context;
  if (runner.vector !== Exception.GP || !isWild(registers)) return;
  if (leadsTo(frame.registers, registers, readMemory(task))) undoBranch(frame.registers, registers);
}

/** #UD where the recorded processor had #GP (XSAVES, INVPCID of a program): the same instruction, not executed. */
export function isOtherRefusal(
  { core, runner }: ReplayContext,
  frame: TraceFrame,
  step: ReplayStep,
): boolean {
  const { registers } = core.machine.context;
  if (
    runner.vector !== Exception.UD ||
    step.signal !== Signal.SEGV ||
    signalOf(frame).code !== SignalCode.kernel
  )
    return false;
  if (ripOf(registers) !== step.address || !registersMatch(frame.registers, registers)) return false;
  core.log.debug({ frame: frame.frameTime, rip: hex(step.address) }, '#UD for a recorded #GP');
  return true;
}

function codeAt(task: Task, address: number): Uint8Array {
  const code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  return code.subarray(0, task.space.read(gva(address), code));
}

function withFaulting<T>(task: Task, frame: TraceFrame, look: Parameters<typeof withInstruction<T>>[2]): T {
  const rip = getRegister(frame.registers, Reg.rip);
  return withInstruction(codeAt(task, Number(rip)), rip, look);
}
