import { gva, wordsToGva, NO_ADDRESS, type Gva } from '../../base/address.js';
import { invariant } from '../../base/errors.js';
import { Reg, ripOf } from '../../base/registers.js';
import { Exit } from '../../kvm/exit.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { Task } from '../../task/task.js';
import { EFLAGS_TRAP, Exception } from '../../x86/constants.js';
import type { GuestCore } from '../guest-core.js';
import type { ValueWatches } from '../stops/value-watches.js';
import { CountedCode, type CountedStops } from './counted-code.js';
import { Leave } from './layout.js';

/**
 * How a run of copies ended. `program`: as any run of the program, whose exit it is. `again`: nothing happened, the
 * program goes on. `limit`: before the conditional branch that would be one too many. `stop`: on an address that was
 * asked for. `odd`: on an instruction that is to be executed by itself.
 * `watch`: behind one that may have changed watched memory.
 */
export type CountedEnd = 'program' | 'again' | 'limit' | 'stop' | 'odd' | 'watch';

const NO_STOPS: CountedStops = new Map();
/** Single steps over a comparison; an interruption that comes late ends some of them. */
const MAX_SETTLING = 64;
const STEP_BUDGET_MICROS = 1_000_000;
/** Of `CountedRun.limit`: more than any program executes. */
export const NO_LIMIT = 2 ** 52;
/** Branches that take some 10 ms to count in memory: shorter runs end before better copies of loops have repaid themselves. */
const LONG_RUN = 4_000_000;

/** Has tasks execute copies of their code that count conditional branches, as long as it is switched on. */
export class CountedRun {
  private readonly codes = new WeakMap<AddressSpace, CountedCode>();
  /** The guest executes a copy, or did when it was last seen. */
  private inside: CountedCode | null = null;
  private left = 0;
  private begun = 0;
  private copiesLoops = false;
  /** The page that a check asked for last. */
  private filled: Gva = NO_ADDRESS;
  /** Before these the copies end; never changed in place. */
  stops = NO_STOPS;
  /** What they look at behind each store. */
  watched: ValueWatches | null = null;

  /** @param loopsFrom once a run has executed so many branches, or is going to, loops count in registers */
  constructor(
    private readonly core: GuestCore,
    private readonly loopsFrom = LONG_RUN,
  ) {}

  get isInside(): boolean {
    return this.inside !== null;
  }

  /** Lets runs end before the branch that follows `branches` others. */
  limit(branches: number): void {
    this.copiesLoops ||= Math.max(this.executed, branches === NO_LIMIT ? 0 : branches) >= this.loopsFrom;
    this.left = this.begun = branches;
  }

  /** Branches executed since `limit`. Precondition: nothing is inside. */
  get executed(): number {
    return this.begun - this.left;
  }

  /** The same while the guest runs: only about right. */
  get executedNow(): number {
    const left = this.inside ? this.inside.leftNow : this.left;
    return Math.max(0, Math.min(this.begun - left, this.begun));
  }

  /** True if no code around an address can be copied. */
  isForeign({ space }: Task, address: number): boolean {
    return address < 0 || this.codeOf(space).isForeign(gva(address));
  }

  /** @returns false if what rip is at is to be executed by itself */
  enter({ space }: Task): boolean {
    const code = this.codeOf(space);
    if (this.copiesLoops && !code.copiesLoops) {
      code.copiesLoops = true;
      code.forgetAll();
    }
    code.stopAt(this.stops);
    code.watch(this.watched);
    if (!code.enter(this.core.machine.context.registers, this.left)) return false;
    this.inside = code;
    return true;
  }

  /**
   * The guest has left: everybody is to see the program's registers.
   * @param isHalted the caller ignores the end: a stop is reported by the next run
   */
  leave(exit: Exit, isHalted = false): CountedEnd {
    const { inside } = this;
    if (!inside) return 'program';
    const { context } = this.core.machine;
    if (exit === Exit.Interrupted) this.settleFlags(inside);
    this.inside = null;
    const byInt3 = exit === Exit.Exception && context.vector === Exception.BP;
    const { leave, left, inCheck, inWatch } = inside.leave(context.registers, byInt3, isHalted);
    this.left = left;
    if (inWatch && exit === Exit.Exception) return 'watch';
    if (inCheck && exit === Exit.Exception) return this.afterCheck(inside);
    switch (leave) {
      case Leave.none:
        return 'program';
      case Leave.limit:
        return 'limit';
      case Leave.direct:
      case Leave.stop:
        return this.stops.has(ripOf(context.registers)) ? 'stop' : 'again';
      case Leave.odd:
        return 'odd';
      case Leave.watch:
        return 'watch';
      default:
        return 'again';
    }
  }

  /** The guest was interrupted, perhaps where its flags cannot be told: by single steps it goes to where they can. */
  private settleFlags(inside: CountedCode): void {
    const { machine } = this.core;
    const { registers } = machine.context;
    for (let steps = 0; inside.isBetweenFlags(registers); steps++) {
      invariant(steps < MAX_SETTLING, 'a comparison ends');
      registers[2 * Reg.eflags] |= EFLAGS_TRAP;
      while (machine.run(STEP_BUDGET_MICROS) === Exit.Pending);
      registers[2 * Reg.eflags] &= ~EFLAGS_TRAP;
    }
  }

  /** A check raised an exception: a page is missing, or whoever asked for the stop is to find out whether it is meant. */
  private afterCheck(inside: CountedCode): CountedEnd {
    const { vector, cr2Low, cr2High, errorCode } = this.core.machine.context;
    const address = vector === Exception.PF ? wordsToGva(cr2Low, cr2High) : NO_ADDRESS;
    // Where that is of no use the page is there, but watched.
    const isFilled = address !== this.filled && inside.fill(address, errorCode);
    this.filled = isFilled ? address : NO_ADDRESS;
    return isFilled ? 'again' : 'stop';
  }

  private codeOf(space: AddressSpace): CountedCode {
    let code = this.codes.get(space);
    if (code) return code;
    code = new CountedCode(space, this.core.memory);
    space.codeKeeper = code;
    this.codes.set(space, code);
    return code;
  }
}
