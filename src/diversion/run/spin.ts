import { wordsToGva, gva } from '../../engine/base/address.js';
import { Reg, getUnsigned, type RegisterWords } from '../../engine/base/registers.js';
import type { GuestCore } from '../../engine/guest/guest-core.js';
import type { Task } from '../../engine/task/task.js';
import { MAX_INSTRUCTION_LENGTH } from '../../engine/x86/decode.js';
import { storesOf, type Store } from '../../engine/x86/operands.js';
import type { Spin } from '../kernel/process.js';
import type { TaskRunner, RunStop } from './task-runner.js';

/** Instructions of the longest loop that is recognised. */
const LONGEST = 1024;

/** The result of a check: the loop, another stop in the meantime, or neither. */
export type Look = { readonly spin: Spin | null; readonly stop: RunStop | null };

const NEITHER: Look = { spin: null, stop: null };

/**
 * Detects tasks that poll memory in a loop: their state repeats exactly, without a store that
 * changed anything. Where such a task is interrupted makes no difference to it, so that others can
 * be scheduled at a place that does not depend on this machine's speed.
 */
export class SpinWatch {
  private readonly code = new Uint8Array(MAX_INSTRUCTION_LENGTH);

  constructor(
    private readonly core: GuestCore,
    private readonly runner: TaskRunner,
  ) {}

  /** Whether the task is in such a loop; then it is moved to the loop's canonical place. */
  find(task: Task): Look {
    const first = new Map<string, number>();
    for (let step = 0; step <= LONGEST; step++) {
      const state = this.state(task);
      const before = first.get(state);
      if (before !== undefined) return this.confirm(task, step - before);
      first.set(state, step);
      const done = this.step(task);
      if (done.stop) return done;
      // States before a store that changed something do not repeat.
      if (done.changed) first.clear();
    }
    return NEITHER;
  }

  /** The task is at the beginning of its loop: does it return there? */
  again(task: Task, { at, length }: Spin): Look {
    if (this.state(task) !== at) return NEITHER;
    return this.round(task, length);
  }

  private confirm(task: Task, length: number): Look {
    let [least, after] = [this.state(task), 0];
    for (let step = 1; step < length; step++) {
      const done = this.step(task);
      if (done.stop) return done;
      const state = this.state(task);
      if (state < least) [least, after] = [state, step];
    }
    // Now one step before the first state; on to the loop's own place.
    for (let step = 0; step <= after; step++) {
      const done = this.step(task);
      if (done.stop) return done;
    }
    return this.round(task, length);
  }

  private round(task: Task, length: number): Look {
    const at = this.state(task);
    const vectors = Buffer.from(this.core.vectorState(task));
    for (let step = 0; step < length; step++) {
      const done = this.step(task);
      if (done.stop) return done;
      if (done.changed) return NEITHER;
    }
    const isSame = this.state(task) === at && vectors.equals(this.core.vectorState(task));
    return isSame ? { spin: { at, length }, stop: null } : NEITHER;
  }

  /** Ordered by rip first. */
  private state(task: Task): string {
    const registers = this.core.registers(task);
    const bytes = Buffer.from(registers.buffer, registers.byteOffset, registers.byteLength);
    return getUnsigned(registers, Reg.rip).toString(16).padStart(16, '0') + bytes.toString('latin1');
  }

  private step(task: Task): Look & { changed: boolean } {
    const stores = this.stores(task, this.core.registers(task));
    const before = stores?.map((store) => read(task, store));
    const stop = this.runner.run(task, 0, 'singleStep');
    if (stop.kind !== 'step' || this.runner.hits.length > 0) return { spin: null, stop, changed: true };
    const changed = !stores || stores.some((store, index) => !read(task, store).equals(before![index]));
    return { spin: null, stop: null, changed };
  }

  private stores(task: Task, registers: RegisterWords): Store[] | null {
    const rip = wordsToGva(registers[2 * Reg.rip], registers[2 * Reg.rip + 1]);
    const count = task.space.read(rip, this.code);
    return storesOf(this.code.subarray(0, count), registers);
  }
}

function read(task: Task, { address, size }: Store): Buffer {
  const bytes = new Uint8Array(size);
  const count = address < 2n ** 47n ? task.space.read(gva(Number(address)), bytes) : 0;
  return Buffer.from(bytes.buffer, 0, count);
}
