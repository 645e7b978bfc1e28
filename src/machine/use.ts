/** Whether a machine can carry what a recording used, as far as that does not depend on the processor. Pure. */
import { code32Error } from '../engine/trace/code32.js';
import type { TraceUse } from '../engine/trace/use.js';
import type { MachineKind } from './kinds.js';
import { DEFAULT_POOL_MIB, poolSize } from './launch.js';
import { noRoom, processBase } from './process.js';
import type { Compatibility } from './requirements.js';

/** @param use null: not known */
export function judgeUse(
  kind: MachineKind,
  use: TraceUse | null | undefined,
  memoryMiB: number = DEFAULT_POOL_MIB,
): Compatibility {
  const reasons: string[] = [];
  const notes: string[] = [];
  if (use?.code32) {
    const { message, hint } = code32Error(use.code32);
    return { ok: false, reasons: [message], notes, hint };
  }
  if (use && kind === 'process') {
    const { ownSegments } = use;
    if (ownSegments)
      reasons.push(
        `Frame ${ownSegments.frameTime}: task ${ownSegments.tid} gets a segment of its own (modify_ldt, set_thread_area), which a process cannot have.`,
      );
    const poolMiB = poolSize(memoryMiB);
    if (processBase(use, poolMiB) === null) reasons.push(noRoom(poolMiB));
  }
  if (reasons.length === 0) return { ok: true, reasons, notes };
  return { ok: false, reasons, notes, hint: 'Use --machine emulated, or auto.' };
}
