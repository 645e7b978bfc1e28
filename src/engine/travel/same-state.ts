import { createHash } from 'node:crypto';
import { Reg, type RegisterWords } from '../base/registers.js';
import { EFLAGS_RESUME } from '../x86/constants.js';
import { Content } from '../mm/content.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplayCore } from '../replay/state/core.js';
import { hasThreadLocals, THREAD_LOCALS } from '../guest/rr-abi.js';
import type { Task } from '../task/task.js';
import { PAGE_SIZE } from '../base/address.js';
import { convertImage } from '../x86/xstate-image.js';
import { EXTENDED_OFFSET, HEADER_OFFSET } from '../x86/xstate-layout.js';

/** All registers, except the resume flag, and orig_rax, which is not a register. */
export function sameRegisters(a: RegisterWords, b: RegisterWords): boolean {
  for (let word = 0; word < a.length; word++) {
    if (word >> 1 === Reg.orig_rax) continue;
    const mask = word === 2 * Reg.eflags ? ~EFLAGS_RESUME : -1;
    if ((a[word] ^ b[word]) & mask) return false;
  }
  return true;
}

/**
 * Whether a task, which runs in the interval where a checkpoint was taken, is in the state that it had there:
 * registers, vector state, memory. Nothing else can change within an interval, and a state that
 * repeats in one would repeat endlessly: so this identifies the place exactly, without a counter.
 */
export function isSameState(core: ReplayCore, task: Task, checkpoint: Checkpoint): boolean {
  const then = checkpoint.tasks.find(({ tid }) => tid === task.tid);
  if (!then || !sameRegisters(core.registers(task), then.registers)) return false;
  const except = hasThreadLocals(task.space) ? THREAD_LOCALS : null;
  if (!new Content(core.memory).isSame(task.space, then.space, except)) return false;
  if (Buffer.compare(localsOf(core, task), localsOf(core, then)) !== 0) return false;
  return Buffer.compare(vectors(core, core.vectorState(task)), vectors(core, then.xstate)) === 0;
}

function localsOf(core: ReplayCore, { threadLocals }: Task): Uint8Array {
  return core.memory.bytes.subarray(threadLocals, threadLocals === 0 ? 0 : threadLocals + PAGE_SIZE);
}

/** Components in their initial state compare equal whether or not XSTATE_BV marks them. */
function vectors({ vectors: state }: ReplayCore, image: Uint8Array | null): Uint8Array {
  const standard = convertImage(state.copy(image), state.hardware, state.hardware);
  return standard.fill(0, HEADER_OFFSET, EXTENDED_OFFSET);
}

/** A digest of all memory that a task can see. */
export function memoryDigest(core: ReplayCore, task: Task): string {
  const hash = createHash('sha256');
  for (const { start, end, prot } of task.space.vmas) hash.update(`${start}-${end}:${prot}\n`);
  const except = hasThreadLocals(task.space) ? THREAD_LOCALS : null;
  new Content(core.memory).visitChanged(task.space, (gva, bytes) => {
    if (gva === except) return;
    hash.update(`${gva}\n`);
    hash.update(bytes);
  });
  hash.update(localsOf(core, task));
  return hash.digest('hex');
}
