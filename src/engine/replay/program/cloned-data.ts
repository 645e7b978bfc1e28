import { gva } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, getUnsigned } from '../../base/registers.js';
import type { ByteSource } from '../../mm/backing.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';

const CHUNK = 1 << 16;
const EBADF = -9;

/** The cloned-data file of a task and its offset; the descriptor and its duplicates share the offset. */
export interface ClonedData {
  readonly source: ByteSource;
  offset: number;
}

/**
 * Large reads that the recorder captured by reflink: the library duplicates the cloned-data descriptor over the
 * program's, reads and closes it, without frames (rr-traces.md 7.9). The descriptor need not be tracked: in these
 * slots nothing else is read, duplicated or closed.
 * @returns the call's result, or null if it is not one of these calls
 */
export function performCloned(core: ReplayCore, task: Task, number: number): number | null {
  const registers = core.registers(task);
  switch (number) {
    case Sys.dup3:
      return registers[2 * Reg.rsi] | 0;
    case Sys.close:
      return 0;
    case Sys.read:
      return readCloned(core, task, getUnsigned(registers, Reg.rsi), getUnsigned(registers, Reg.rdx));
    default:
      return null;
  }
}

function readCloned(core: ReplayCore, task: Task, start: number, size: number): number {
  task.clonedData ??= openCloned(core, task);
  const cloned = task.clonedData;
  if (!cloned) return EBADF;
  let done = 0;
  const chunk = new Uint8Array(Math.min(CHUNK, size));
  while (done < size) {
    const want = chunk.subarray(0, Math.min(chunk.length, size - done));
    const count = cloned.source.read(cloned.offset, want);
    if (count <= 0) break;
    cloned.offset += count;
    core.onWrite?.(task, start + done, count);
    const stored = task.space.write(gva(start + done), want.subarray(0, count));
    done += stored;
    if (stored < count) break;
  }
  return done;
}

function openCloned(core: ReplayCore, task: Task): ClonedData | null {
  const source = core.trace.openAuxiliary(`cloned_data_${task.tid}_${task.serial}`);
  return source && { source, offset: 0 };
}
