import { RevenantError } from '../base/errors.js';
import { REGISTER_NAMES, getRegister } from '../base/registers.js';
import type { Task } from '../task/task.js';
import type { TraceFrame } from '../trace/frame.js';
import type { ReplayCore } from './core.js';
import type { FrameHistory } from './history.js';
import { differingRegisters } from './verify.js';

export interface DivergenceCause {
  summary: string;
  hint?: string;
}

export function diverged(core: ReplayCore, task: Task | null, frame: TraceFrame, _history: FrameHistory, cause: DivergenceCause): RevenantError {
  let text = `frame ${frame.frameTime} kind ${frame.kind} syscall ${frame.syscallNumber}/${frame.syscallState}: ${cause.summary}`;
  if (task && frame.hasRegisters) {
    const found = core.registers(task);
    for (const name of differingRegisters(frame.registers, found)) {
      const slot = REGISTER_NAMES.indexOf(name as never);
      text += `\n  ${name}: recorded ${getRegister(frame.registers, slot).toString(16)} found ${getRegister(found, slot).toString(16)}`;
    }
  }
  return new RevenantError('E_DIVERGED', text);
}
