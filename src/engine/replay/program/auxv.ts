import { gva } from '../../base/address.js';
import { Reg, getUnsigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';

const WORD = 8;
const AT_NULL = 0n;
const AT_ENTRY = 9n;
/** Words of arguments and environment: MAX_ARG_STRINGS is more than fits on a stack of 8 MiB. */
const MAX_WORDS = 1 << 20;

/** The file whose entry point is in an auxiliary vector, as recorded, or null. */
export function mainFileOf(task: Task, auxv: Uint8Array): string | null {
  const view = new DataView(auxv.buffer, auxv.byteOffset);
  for (let at = 0; at + 2 * WORD <= auxv.length; at += 2 * WORD) {
    if (view.getBigUint64(at, true) !== AT_ENTRY) continue;
    return task.space.vmas.find(gva(Number(view.getBigUint64(at + WORD, true))))?.file?.path ?? null;
  }
  return null;
}

/**
 * The vector of a task right after an exec: after argc, the arguments, the environment and their
 * nulls (System V ABI, 3.4.1). Empty if it is not there.
 */
export function readAuxv(core: ReplayCore, task: Task): Uint8Array {
  const bytes = new Uint8Array(WORD);
  const view = new DataView(bytes.buffer);
  const word = (at: number): bigint | null =>
    task.space.read(gva(at), bytes) === WORD ? view.getBigUint64(0, true) : null;
  let at = getUnsigned(core.registers(task), Reg.rsp) + WORD;
  for (let nulls = 0, words = 0; nulls < 2; at += WORD) {
    const value = word(at);
    if (value === null || ++words > MAX_WORDS) return new Uint8Array(0);
    if (value === 0n) nulls++;
  }
  const start = at;
  for (let words = 0; words < MAX_WORDS; words++, at += 2 * WORD) {
    const type = word(at);
    if (type === null) break;
    if (type !== AT_NULL) continue;
    const auxv = new Uint8Array(at + 2 * WORD - start);
    return auxv.subarray(0, task.space.read(gva(start), auxv));
  }
  return new Uint8Array(0);
}
