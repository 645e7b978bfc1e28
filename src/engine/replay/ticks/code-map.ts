import { PAGE_SIZE, type Gva, NO_ADDRESS } from '../../base/address.js';
import { Reg, getRegister, type RegisterWords } from '../../base/registers.js';
import { wordsToGva } from '../../base/address.js';
import type { AddressSpace } from '../../mm/address-space.js';
import { Flow, decodeRun, indirectTarget, type Run } from './flow.js';

/** Longest run decoded at once. */
const MAX_RUN_BYTES = 128;
/** Direct jumps followed before a stop is made anyway: loops without a branch have no other. */
const MAX_JUMPS = 64;
/** Runs remembered; more than any program's working set. */
const MAX_RUNS = 1 << 16;

/** A place that control flow from some address must pass, or -1: the guest leaves by itself before. */
export interface NextStop {
  address: Gva;
  /** The transfer there; null where the stop is for its own sake. */
  run: Run | null;
}

/**
 * The static part of control flow: from any address to the next instruction whose successor is not known
 * before it executes. Runs are remembered and their bytes compared at each use, for programs change code.
 */
export class CodeMap {
  private runs = new WeakMap<AddressSpace, Map<number, Run>>();
  private readonly scratch = new Uint8Array(MAX_RUN_BYTES);
  private readonly word = new Uint8Array(8);
  private readonly wordView = new DataView(this.word.buffer);

  /** Follows control flow from `from` into `into`, which is returned. */
  next(space: AddressSpace, from: Gva, into: NextStop): NextStop {
    into.run = null;
    let at = from;
    for (let jumps = 0; jumps < MAX_JUMPS && at >= 0; jumps++) {
      const run = this.runAt(space, at);
      if (run.flow === Flow.jump) at = run.target;
      else if (run.flow === Flow.onward) at = run.end;
      else {
        const leaves = run.flow === Flow.exits;
        into.run = leaves ? null : run;
        into.address = leaves ? NO_ADDRESS : run.last;
        return into;
      }
    }
    into.address = at;
    return into;
  }

  /** The successor of the return or indirect transfer that the registers stand on; -1 if it has none in user space. */
  successor(space: AddressSpace, run: Run, registers: RegisterWords): Gva {
    const read = (at: Gva): bigint | null =>
      space.read(at, this.word) === 8 ? this.wordView.getBigUint64(0, true) : null;
    if (run.flow === Flow.indirect && run.operand) return indirectTarget(run.operand, registers, read);
    const stack = getRegister(registers, Reg.rsp);
    const at = wordsToGva(Number(stack & 0xffff_ffffn), Number(stack >> 32n));
    const value = at < 0 ? null : read(at);
    return value === null ? NO_ADDRESS : wordsToGva(Number(value & 0xffff_ffffn), Number(value >> 32n));
  }

  private runAt(space: AddressSpace, at: Gva): Run {
    let known = this.runs.get(space);
    if (!known || known.size > MAX_RUNS) {
      known = new Map();
      this.runs.set(space, known);
    }
    const cached = known.get(at);
    if (cached && this.isCurrent(space, at, cached)) return cached;
    // Not beyond the page's end unless an instruction may straddle it: what follows is another run.
    const toPageEnd = PAGE_SIZE - (at % PAGE_SIZE);
    const want = toPageEnd < 16 ? 16 : Math.min(MAX_RUN_BYTES, toPageEnd);
    const length = space.read(at, this.scratch.subarray(0, want));
    const run = decodeRun(this.scratch.subarray(0, length), at);
    known.set(at, run);
    return run;
  }

  private isCurrent(space: AddressSpace, at: Gva, run: Run): boolean {
    const { bytes } = run;
    if (bytes.length === 0) return false;
    const now = this.scratch.subarray(0, bytes.length);
    if (space.read(at, now) < bytes.length) return false;
    for (let i = 0; i < bytes.length; i++) if (now[i] !== bytes[i]) return false;
    return true;
  }
}
