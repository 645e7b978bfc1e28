import { USER_END, type Gva, gva, NO_ADDRESS } from '../../base/address.js';
import { describeDifference } from '../../kvm/cpuid.js';
import { syscallName } from '../../base/syscalls.js';
import { Reg, getRegister } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import { disassembleAround, type CodeSource } from '../../x86/disassemble.js';
import type { ReplayCore } from '../state/core.js';
import { describeEvent, type FrameHistory } from './history.js';
import { mappingOf } from '../state/position.js';
import { DivergenceError, compareRegisters, rerunCommand, type ReportPlace } from './report.js';
import { symbolHit, symbolOf } from '../state/symbols.js';
import { differingRegisters } from '../plan/verify.js';
import { recordingDoubt } from '../../trace/header.js';

/** The cause, from the place of detection. */
export interface DivergenceCause {
  /** One clause. */
  summary: string;
  /** What should have happened and what did, one clause each. */
  expected?: string;
  found?: string;
  /** The task's ticks, where they were counted. */
  foundTicks?: number;
  /** A full sentence on what to do. */
  hint?: string;
}

const ADVICE = [
  'Inspect the last frames with `revenant dump`, and stop one frame earlier with the command below.',
  'If `revenant doctor TRACE` reports no problem, this is a bug in Revenant: please report it with the trace.',
];

/** Makes the report of a divergence. Precondition: the guest is stopped at an exit, its registers are valid. */
export function diverged(
  core: ReplayCore,
  task: Task | null,
  frame: TraceFrame,
  history: FrameHistory,
  cause: DivergenceCause,
): DivergenceError {
  const name = (number: number): string => syscallName(number, core.header.rrcallBase);
  const expected = frame.hasRegisters ? frame.registers : null;
  const found = task && core.registers(task);
  return new DivergenceError({
    trace: core.trace.directory,
    frameTime: frame.frameTime,
    tid: frame.tid,
    taskName: task?.name ?? '',
    event: describeEvent(frame.kind, frame.syscallNumber, frame.syscallState, name),
    summary: cause.summary,
    expected: cause.expected ?? null,
    found: cause.found ?? null,
    registers: found
      ? compareRegisters(expected, found, expected ? differingRegisters(expected, found) : [])
      : [],
    ticks: {
      expected: frame.ticks,
      found: cause.foundTicks ?? (task && task.ticks >= 0 ? task.ticks : null),
    },
    rip: task && place(core, task, Reg.rip),
    rsp: task && place(core, task, Reg.rsp),
    instructions: task && found ? disassembleAround(getRegister(found, Reg.rip), codeOf(core, task)) : [],
    lastFrames: history.list((kind, number, state) => describeEvent(kind, number, state, name)),
    machine: core.machine.transport.description,
    machineLacks: core.machine.cpuidDifferences.map(describeDifference),
    advice: [cause.hint, recordingDoubt(core.header), ...ADVICE].filter((line) => line != null),
    rerun: rerunCommand(core.trace.directory, frame.frameTime),
  });
}

function place(core: ReplayCore, task: Task, slot: number): ReportPlace {
  const address = getRegister(core.registers(task), slot);
  const at = address < BigInt(USER_END) ? gva(Number(address)) : NO_ADDRESS;
  return { address, symbol: symbolOf(core, task, at), mapping: mappingOf(task, at) };
}

function codeOf(core: ReplayCore, task: Task): CodeSource {
  const user = (address: bigint): Gva => gva(address < BigInt(USER_END) ? Number(address) : -1);
  return {
    read: (address, into) => task.space.read(user(address), into),
    symbolAt: (address) => symbolOf(core, task, user(address)),
    functionAt: (address) => {
      const hit = symbolHit(core.symbolizer, task, user(address));
      return hit && BigInt(hit.address);
    },
  };
}
