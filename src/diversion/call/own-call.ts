import { gva, type Gva } from '../../engine/base/address.js';
import type { DebugStop, MutableTarget } from '../../engine/target.js';
import { CallFailed, Caller } from './caller.js';
import type { Argument } from './value.js';

/** A turn is some 20 ms of work: a call that does not return by then waits for something. */
const MOST_TURNS = 200;

/** Called between slices of work; may interrupt the target. */
export type Turn = () => Promise<void>;

/** Internal calls in a task of the diversion: short ones, which are abandoned if they wait. */
export class OwnCall {
  private readonly caller: Caller;

  constructor(
    private readonly target: MutableTarget,
    tid: number,
    private readonly turn: Turn,
    floor?: number,
  ) {
    this.caller = new Caller(target, tid, floor);
  }

  /** The result, as a signed number. Throws CallFailed. */
  async run(address: Gva, values: readonly Argument[]): Promise<bigint> {
    const { value } = await this.caller.run(BigInt(address), values, () => this.wait());
    return BigInt.asIntN(64, value);
  }

  /** Puts bytes on the task's stack. */
  place(bytes: Uint8Array): bigint {
    return BigInt(this.caller.place(bytes));
  }

  /** Whole numbers of the program's, as many as were placed. */
  words(at: bigint, count: number): bigint[] {
    const bytes = new Uint8Array(8 * count);
    this.target.readMemory(this.caller.tid, gva(Number(at)), bytes);
    const view = new DataView(bytes.buffer);
    return Array.from({ length: count }, (_, index) => view.getBigInt64(8 * index, true));
  }

  /** Why the work failed; null: it did not. The task is back where it was. */
  async tried(work: () => Promise<unknown>): Promise<string | null> {
    try {
      await work();
      return null;
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      this.caller.abandon();
      return error.message;
    }
  }

  private async wait(): Promise<DebugStop> {
    for (let turns = 0; ; turns++) {
      const stop = this.target.poll();
      if (stop) return stop;
      if (turns === MOST_TURNS) this.target.interrupt();
      await this.turn();
    }
  }
}
