import { type Gva } from '../base/address.js';
import { RevenantError, invariant } from '../base/errors.js';
import type { Breakpoint } from '../target.js';
import type { ReplayCore } from '../replay/state/core.js';
import { PREDICATE_REGISTERS, type Predicate, type PredicateStep } from '../base/predicate.js';
import { getRegister, getUnsigned, Reg, ripOf, type RegisterWords } from '../base/registers.js';
import { EFLAGS_RESUME, EFLAGS_TRAP } from '../x86/constants.js';
import { isRepeatedString, MAX_INSTRUCTION_LENGTH } from '../x86/decode.js';
import type { Task } from '../task/task.js';
import type { TravelCheckpoint } from './checkpoints.js';
import type { StopEvent, TravelEvent } from './event.js';
import { RUN, type RunOrders } from './listener.js';
import { Interrupted, type Navigator, type Slices } from './navigator.js';
import { isSameState } from './same-state.js';
import type { Passed } from './trail.js';

/** A way: from a checkpoint, over a number of events. */
export interface Way {
  readonly from: TravelCheckpoint;
  /** The task that is at `from` where an event was counted already, or -1. */
  readonly skipTid: number;
  readonly count: number;
  readonly event: StopEvent;
}

/** The end of a search: a checkpoint, or the completion of a frame. */
export type End = { readonly at: TravelCheckpoint } | { readonly frameTime: number };

/**
 * The end of a search for what is before `end`, if nothing is between that and the present: the
 * frame after it, rather than the place itself, which may be in a loop with many arrivals.
 */
export function endBefore(end: TravelCheckpoint, present: TravelCheckpoint): End {
  const { frameTime, inside } = end.checkpoint;
  const { frameTime: now, inside: within } = present.checkpoint;
  const isPassed = end !== present && inside !== null && (frameTime + 1 < now || (frameTime < now && within));
  return isPassed ? { frameTime: frameTime + 1 } : { at: end };
}

/** The range to search for events. */
export interface Search {
  readonly start: TravelCheckpoint;
  readonly end: End;
  readonly counts: (event: StopEvent) => boolean;
}

/** Of the events on a way the last ones are kept, and of the others those at powers of two. */
const NEAR_EVENTS = 4;
const FARTHEST_EVENT = 64;
const isKept = (left: number): boolean =>
  left <= NEAR_EVENTS || (left <= FARTHEST_EVENT && (left & (left - 1)) === 0);

/** Work after which an event gets its own checkpoint, in exits. */
const EFFORT_BETWEEN_EVENTS = 400;
/** Places that are tried one after the other before searching. */
export const MAX_WALK = 32;

/** The time for one slice of a way is over. */
export class SliceOver extends Error {}

/** Runs over the same stretch of history again: the elements of going backwards. */
export class Searcher {
  constructor(
    readonly core: ReplayCore,
    readonly navigator: Navigator,
  ) {}

  /** True if the session is exactly where the checkpoint was taken. */
  isAt({ checkpoint }: TravelCheckpoint): boolean {
    const { session } = this.navigator;
    if (session.frameTime !== checkpoint.frameTime) return false;
    if (!checkpoint.inside) return session.inside === null;
    const task = session.inside?.task;
    return task !== undefined && isSameState(this.core, task, checkpoint);
  }

  /** The caller may check for an interrupt; fast events must not prevent it. */
  private *turn(): Slices<void> {
    yield null;
    this.navigator.checkInterrupt();
  }

  /** Runs to the next event, 'arrived' at the end. Never past it. */
  *towards(end: End, orders: Partial<RunOrders> = {}): Slices<StopEvent | null> {
    const event = yield* 'at' in end
      ? this.toStopover(end.at, orders)
      : this.navigator.forward({ ...RUN, ...orders }, end.frameTime, true);
    if (event.kind === 'interrupted') throw new Interrupted();
    if (event.kind === 'slice') throw new SliceOver();
    return event.kind === 'stop' ? event : null;
  }

  private *toStopover(end: TravelCheckpoint, orders: Partial<RunOrders>): Slices<TravelEvent> {
    const { navigator } = this;
    const { session } = navigator;
    const { frameTime, inside, tasks } = end.checkpoint;
    if (!inside) return yield* navigator.forward({ ...RUN, ...orders }, frameTime, true);
    if (session.frameTime < frameTime) {
      const event = yield* navigator.forward({ ...RUN, ...orders }, frameTime, true);
      if (event.kind !== 'frame') return event;
    }
    if (navigator.current === end) return { kind: 'arrived' };
    const running = tasks.find(({ tid }) => tid === end.tid);
    invariant(running, 'a checkpoint inside an interval has a task that runs');
    const address = ripOf(running.registers);
    const predicates = [registersPredicate(running.registers, isInString(running, address))];
    const breakpoint: Breakpoint = { pid: null, address, predicates };
    const isBefore = (task: Task): boolean => isBeforeInString(this.core, task, running);
    const isIt = (task: Task): boolean => task.tid === end.tid && (isBefore(task) || this.isAt(end));
    const sentinel = { breakpoint, isIt };
    navigator.stops.addBreakpoint(breakpoint);
    try {
      for (;;) {
        const { inside: now } = session;
        // A breakpoint is met before a repeated string instruction only, and its end may be in the middle: step there.
        const isStep = now?.task.tid === end.tid && isBefore(now.task);
        const way = isStep ? { stepTid: end.tid } : { sentinel };
        const event = yield* navigator.forward({ ...RUN, ...orders, ...way }, frameTime + 1, true);
        if (event.kind === 'frame' || event.kind === 'end') throw lost(frameTime);
        const hasStepped = isStep && event.kind === 'stop' && event.stop.kind === 'step';
        if (event.kind !== 'arrived' && !hasStepped) return event;
        if (this.isAt(end)) return { kind: 'arrived' };
        if (hasStepped) yield* this.turn();
      }
    } finally {
      navigator.stops.removeBreakpoint(breakpoint);
    }
  }

  /** The last event that counts between start (with it) and end (without it), or null. */
  *last(area: Search): Slices<Way | null> {
    return (yield* this.lastOf(area, Infinity)).way;
  }

  /** The same, but at most a number of them: with more, the session is at the last one that was counted. */
  *lastOf({ start, end, counts }: Search, most: number): Slices<{ way: Way | null; isLast: boolean }> {
    const { navigator } = this;
    let counted = 0;
    navigator.goTo(start, boundOf(end));
    let way: Way | null = null;
    let [from, fromSkip, count, skipTid] = [start, -1, 0, -1];
    navigator.cache.pin(start);
    try {
      for (;;) {
        const event = yield* this.towards(end, { skipTid });
        if (!event) return { way, isLast: true };
        yield* this.turn();
        skipTid = event.stop.tid;
        if (!counts(event)) continue;
        way = { from, skipTid: fromSkip, count: ++count, event };
        if (++counted === most) return { way, isLast: false };
        if (navigator.effort - from.effort < EFFORT_BETWEEN_EVENTS) continue;
        navigator.cache.unpin(from);
        from = navigator.keepHere();
        navigator.cache.pin(from);
        [fromSkip, count] = [skipTid, 0];
        way = { from, skipTid, count, event };
      }
    } finally {
      navigator.cache.unpin(from);
    }
  }

  /**
   * Goes to the end of a way.
   * @returns the last events on it, consecutive; the last of them is the end
   */
  *follow(way: Way, { end, counts }: Omit<Search, 'start'>): Slices<Passed[]> {
    const { navigator } = this;
    navigator.goTo(way.from, boundOf(end));
    let { skipTid } = way;
    let passed: Passed[] = [];
    if (way.count === 0) passed.push({ at: way.from, event: way.event });
    for (let left = way.count; left > 0;) {
      const event = yield* this.towards(end, { skipTid });
      if (!event) throw lost(navigator.session.frameTime);
      yield* this.turn();
      skipTid = event.stop.tid;
      if (!counts(event)) continue;
      if (left === 1 || isKept(left - 1)) passed.push({ at: navigator.keepHere(), event });
      else passed = [];
      left--;
    }
    return passed;
  }

  /**
   * Executes instructions of the task that runs at `start` one by one, to `end` in the same interval.
   * @returns how many; -1 if it is not reached within `limit`
   */
  *walk(start: TravelCheckpoint, end: TravelCheckpoint, limit: number): Slices<number> {
    const { navigator } = this;
    const { session } = navigator;
    navigator.goTo(start, end);
    for (let steps = 0; steps <= limit; steps++) {
      if (this.isAt(end)) return steps;
      if (!(yield* this.step(end.tid)) || session.frameTime !== end.checkpoint.frameTime) return -1;
      if (steps % MAX_WALK === 0) yield* this.turn();
    }
    return -1;
  }

  /** Executes one instruction of the task, or goes to its next possible position. */
  *step(tid: number): Slices<boolean> {
    const event = yield* this.navigator.forward({ ...RUN, stepTid: tid }, Infinity, true);
    return event.kind === 'stop' && event.stop.kind === 'step';
  }

  /** With breakpoints at these addresses only, and no other. */
  *withBreakpoints<T>(addresses: Iterable<Gva>, search: () => Slices<T>): Slices<T> {
    const resume = this.navigator.stops.suspend();
    try {
      for (const address of addresses) this.navigator.stops.addBreakpoint({ pid: null, address });
      return yield* search();
    } finally {
      resume();
    }
  }
}

/** What a repeated string instruction changes. */
const STRING_REGISTERS: ReadonlySet<number> = new Set([Reg.rcx, Reg.rsi, Reg.rdi, Reg.eflags]);

/** Whether a task is at a repeated string instruction of which `end` has done more iterations. */
function isBeforeInString(core: ReplayCore, task: Task, end: Pick<Task, 'registers'>): boolean {
  const now = core.registers(task);
  for (let word = 0; word < now.length; word++) {
    const slot = word >> 1;
    if (STRING_REGISTERS.has(slot) || slot === Reg.orig_rax) continue;
    if (now[word] !== end.registers[word]) return false;
  }
  if (getUnsigned(now, Reg.rcx) <= getUnsigned(end.registers, Reg.rcx)) return false;
  return isInString(task, ripOf(now));
}

function isInString({ space }: Pick<Task, 'space'>, address: Gva): boolean {
  const code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  return isRepeatedString(code.subarray(0, space.read(address, code)));
}

/** Flags that a task has in the same state of its program, however it came there. */
const FLAGS = ~BigInt(EFLAGS_RESUME | EFLAGS_TRAP);

/** That the registers are these; without those that a repeated string instruction changes, for places in one. */
function registersPredicate(registers: RegisterWords, inString: boolean): Predicate {
  const steps: PredicateStep[] = [{ op: 'constant', value: 0n }];
  for (const name of PREDICATE_REGISTERS) {
    const slot = Reg[name];
    if (name === 'rip' || (inString && STRING_REGISTERS.has(slot))) continue;
    const value = getRegister(registers, slot);
    steps.push({ op: 'register', slot }, { op: 'constant', value }, { op: 'xor' });
    if (name === 'eflags') steps.push({ op: 'constant', value: FLAGS }, { op: 'and' });
    steps.push({ op: 'or' });
  }
  return [...steps, { op: 'not' }];
}

const boundOf = (end: End): TravelCheckpoint | null => ('at' in end ? end.at : null);

export function lost(frameTime: number): RevenantError {
  return new RevenantError(
    'E_INTERNAL',
    `Going backwards, the place in the interval after frame ${frameTime} was not found again.`,
    'This is a bug: two passes over the same recording differ. Please report it with the trace.',
  );
}
