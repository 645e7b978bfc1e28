/**
 * A replay for debuggers that survives the loss of its machine: a recording can be replayed again, to the same
 * instruction.
 */
import type { Gva } from '../engine/base/address.js';
import { invariant, type RevenantError } from '../engine/base/errors.js';
import type { RegisterWords } from '../engine/base/registers.js';
import type {
  Breakpoint,
  DebugStop,
  DebugTask,
  Executable,
  LifecycleKind,
  Moment,
  OpenDescriptor,
  ReplayTarget,
  RunRequest,
  Watchpoint,
} from '../engine/target.js';
import type { Checkpoint } from '../engine/replay/state/checkpoint.js';
import { CheckpointTransfer } from '../engine/persist/transfer.js';
import type { TravelTarget } from '../engine/travel/target.js';
import { isLoss, Losses, lostText, PrintedOnce } from './losses.js';
import { nextTurn, untilStop } from './stops.js';

/** Exits after the last kept place, which are repeated if the machine is lost. */
const MOST_EXITS = 1_000;
/** Runs after the last kept place. */
const MOST_RUNS = 64;

/** The program's stops. */
interface Stops {
  readonly breakpoints: readonly Breakpoint[];
  readonly watchpoints: readonly Watchpoint[];
  readonly syscalls: readonly number[] | 'all' | 'none';
  readonly lifecycle: readonly LifecycleKind[];
  /** Signals without a stop. */
  readonly passed: ReadonlySet<number>;
}

const NO_STOPS: Stops = {
  breakpoints: [],
  watchpoints: [],
  syscalls: 'none',
  lifecycle: [],
  passed: new Set(),
};

/** Those of a new replay. */
function install(
  target: TravelTarget,
  { breakpoints, watchpoints, syscalls, lifecycle, passed }: Stops,
): void {
  for (const breakpoint of breakpoints) target.addBreakpoint(breakpoint);
  for (const watchpoint of watchpoints) target.addWatchpoint(watchpoint);
  target.catchSyscalls(syscalls);
  target.catchLifecycle(lifecycle);
  target.passSignals(passed);
}

function withdraw(target: TravelTarget, { breakpoints, watchpoints }: Stops): void {
  for (const breakpoint of breakpoints) target.removeBreakpoint(breakpoint);
  for (const watchpoint of watchpoints) target.removeWatchpoint(watchpoint);
  target.catchSyscalls('none');
  target.catchLifecycle([]);
  target.passSignals(NO_STOPS.passed);
}

/** A run forward, its stops, and where it ended. */
interface Run {
  readonly request: RunRequest;
  readonly stops: Stops;
  readonly stop: DebugStop;
}

/** A place: its mark in `inner`, and the checkpoint of that. */
interface Kept {
  readonly mark: number;
  readonly checkpoint: Checkpoint;
}

/** The position of a replay. */
function keepIn(target: TravelTarget): Kept {
  const checkpoint = target.session.checkpoint();
  return { mark: target.markOf(checkpoint), checkpoint };
}

/** The current operation. */
interface Job {
  readonly begin: (target: TravelTarget) => void;
  /** A request to run forward. */
  readonly request: RunRequest | null;
  /** The program is elsewhere afterwards. */
  readonly moves: boolean;
}

export interface LastingOptions {
  /** Debugging begins at the current position. */
  readonly target: TravelTarget;
  /** The same recording on another machine, before the first frame. Throws RevenantError. */
  readonly another: () => Promise<TravelTarget>;
  /** A replay whose machine was lost is not read any more. */
  readonly release: (lost: TravelTarget) => void;
  /** What the recorded program prints. */
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** Message for the user: what was lost, and what happens next. */
  readonly note: (text: string) => void;
}

/**
 * The position is always known as a kept place and the runs since. If the machine is lost, the
 * place is transferred to another, the runs are repeated, and the current operation restarts.
 */
export class LastingTarget implements ReplayTarget {
  readonly kind = 'replay';
  private inner: TravelTarget;
  private stops = NO_STOPS;
  private base: Kept & { readonly stop: DebugStop | null; readonly exits: number };
  private runs: Run[] = [];
  private last: DebugStop | null = null;
  private job: Job | null = null;
  private losses = new Losses();
  private printed: PrintedOnce;
  /** The program goes back to an earlier place. */
  private isBack = false;
  private recovery: Promise<void> | null = null;
  private failure: unknown = null;
  /** By our number. */
  private readonly marks = new Map<number, Kept>();
  private nextMark = 1;

  constructor(private readonly options: LastingOptions) {
    this.inner = options.target;
    this.printed = new PrintedOnce(options.output);
    this.base = { ...keepIn(this.inner), stop: null, exits: this.inner.session.exits };
  }

  get hadBreakpointsInCode(): boolean {
    return this.inner.hadBreakpointsInCode;
  }

  /** The replay as it is now. */
  get replay(): TravelTarget {
    return this.inner;
  }

  /** Set while another machine is being leased; `poll` does nothing until then. */
  get waiting(): Promise<void> | null {
    return this.recovery;
  }

  /** Output of the replay, also of those that `another` opens. */
  print(stream: 1 | 2, bytes: Uint8Array): void {
    if (!this.isBack) this.printed.write(stream, bytes);
  }

  /**
   * Handles the loss of the machine during a request: afterwards the replay is in the same state on another one.
   * @throws RevenantError the loss, if machines are lost repeatedly; what `another` throws
   */
  async recover(loss: RevenantError): Promise<void> {
    for (let reason: unknown = loss; ;) {
      if (!this.losses.mayGoOn(reason, this.frameTime)) throw reason;
      this.options.note(lostText(reason as RevenantError, this.frameTime));
      try {
        return await this.takeAnother();
      } catch (error) {
        reason = error;
      }
    }
  }

  /** An operation that moves the replay, or leaves it unmoved if it throws; repeated if the machine is lost. */
  travel<T>(way: (target: TravelTarget) => Promise<T>): Promise<T> {
    this.printed = new PrintedOnce(this.options.output);
    return this.attempt(async () => {
      const result = await way(this.inner);
      this.keep(this.inner.last);
      return result;
    });
  }

  /** An operation that does not move the replay; repeated if the machine is lost. */
  private async attempt<T>(ask: () => T | Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!isLoss(error)) throw error;
        await this.recover(error);
      }
    }
  }

  private async takeAnother(): Promise<void> {
    const lost = this.inner;
    const next = await this.options.another();
    try {
      await this.bringBack(lost, next);
    } catch (error) {
      this.inner = lost;
      this.options.release(next);
      throw error;
    }
    this.options.release(lost);
  }

  /** Goes to where the lost replay was before the current operation, which then restarts. */
  private async bringBack(lost: TravelTarget, next: TravelTarget): Promise<void> {
    const transfer = new CheckpointTransfer(lost.session, next.session);
    const taken = ({ checkpoint: old }: Kept): Kept => {
      const checkpoint = transfer.take(old);
      return { mark: next.markOf(checkpoint), checkpoint };
    };
    const base = { ...this.base, ...taken(this.base) };
    const marks = [...this.marks].map(([number, kept]) => [number, taken(kept)] as const);
    transfer.close();
    this.isBack = true;
    try {
      next.beginGotoMark(base.mark);
      await untilStop(next, nextTurn);
      if (base.stop) next.last = base.stop;
      for (const { request, stops, stop } of this.runs) {
        install(next, stops);
        next.begin(request);
        const again = await untilStop(next, nextTurn);
        withdraw(next, stops);
        const isSame = again.kind === stop.kind && again.tid === stop.tid;
        invariant(isSame, `a run that ended with ${stop.kind} of task ${stop.tid} does so again`);
      }
    } finally {
      this.isBack = false;
    }
    install(next, this.stops);
    this.inner = next;
    this.base = { ...base, exits: next.session.exits };
    for (const [number, kept] of marks) this.marks.set(number, kept);
    this.printed.again();
    this.job?.begin(next);
  }

  poll(): DebugStop | null {
    if (this.recovery) return null;
    const { failure } = this;
    if (failure !== null) {
      this.failure = this.job = null;
      throw failure;
    }
    try {
      const stop = this.inner.poll();
      if (stop) this.settle(stop);
      return stop;
    } catch (error) {
      if (!isLoss(error)) {
        this.job = null;
        throw error;
      }
      this.recovery = this.recover(error)
        .catch((reason: unknown) => (this.failure = reason))
        .then(() => void (this.recovery = null));
      return null;
    }
  }

  /** The current operation has finished; `keep` may find the machine lost, then it has not. */
  private settle(stop: DebugStop): void {
    const { job, inner } = this;
    invariant(job, 'an operation is running');
    if (job.moves) {
      const { request } = job;
      const isFar = inner.session.exits - this.base.exits > MOST_EXITS || this.runs.length >= MOST_RUNS;
      // An end that was already reported is not reported again; a kept place does not contain this.
      const again = request !== null && stop.kind !== 'interrupted' && (!isFar || stop.kind === 'exited');
      if (again) this.runs.push({ request, stops: this.stops, stop });
      else this.keep(stop);
    }
    this.job = null;
    this.last = stop;
    this.losses = new Losses();
  }

  private keep(stop: DebugStop | null = null): void {
    const kept = keepIn(this.inner);
    this.inner.forget(this.base.mark);
    this.base = { ...kept, stop, exits: this.inner.session.exits };
    this.runs = [];
    this.last = stop;
  }

  private start(begin: Job['begin'], request: RunRequest | null = null, moves = true): void {
    this.printed = new PrintedOnce(this.options.output);
    begin(this.inner);
    this.job = { begin, request: request?.direction === 'forward' ? request : null, moves };
  }

  begin(request: RunRequest): void {
    this.start((target) => target.begin(request), request);
  }

  beginCountTicks(): void {
    this.start((target) => target.beginCountTicks(), null, false);
  }

  beginMoment(): void {
    this.start((target) => target.beginMoment(), null, false);
  }

  beginSeekTicks(frameTime: number, ticks: number): void {
    this.start((target) => target.beginSeekTicks(frameTime, ticks));
  }

  beginGoto(frameTime: number): void {
    this.start((target) => target.beginGoto(frameTime));
  }

  beginGotoArrival(frameTime: number, addresses: readonly Gva[], hit: number): void {
    this.start((target) => target.beginGotoArrival(frameTime, addresses, hit));
  }

  beginGotoMark(mark: number): void {
    // The number in `inner`, after a change of machines.
    this.start((target) => target.beginGotoMark(this.marks.get(mark)?.mark ?? 0));
  }

  interrupt(): void {
    this.inner.interrupt();
  }

  mark(): number {
    this.marks.set(this.nextMark, keepIn(this.inner));
    return this.nextMark++;
  }

  forget(mark: number): void {
    const known = this.marks.get(mark);
    if (known === undefined) return;
    this.marks.delete(mark);
    this.inner.forget(known.mark);
  }

  addBreakpoint(breakpoint: Breakpoint): void {
    this.inner.addBreakpoint(breakpoint);
    this.stops = { ...this.stops, breakpoints: [...this.stops.breakpoints, breakpoint] };
  }

  removeBreakpoint(breakpoint: Breakpoint): void {
    this.inner.removeBreakpoint(breakpoint);
    this.stops = {
      ...this.stops,
      breakpoints: this.stops.breakpoints.filter((each) => each !== breakpoint),
    };
  }

  addWatchpoint(watchpoint: Watchpoint): void {
    this.inner.addWatchpoint(watchpoint);
    this.stops = { ...this.stops, watchpoints: [...this.stops.watchpoints, watchpoint] };
  }

  removeWatchpoint(watchpoint: Watchpoint): void {
    this.inner.removeWatchpoint(watchpoint);
    this.stops = {
      ...this.stops,
      watchpoints: this.stops.watchpoints.filter((each) => each !== watchpoint),
    };
  }

  catchSyscalls(syscalls: readonly number[] | 'all' | 'none'): void {
    this.inner.catchSyscalls(syscalls);
    this.stops = { ...this.stops, syscalls };
  }

  catchLifecycle(lifecycle: readonly LifecycleKind[]): void {
    this.inner.catchLifecycle(lifecycle);
    this.stops = { ...this.stops, lifecycle };
  }

  passSignals(passed: ReadonlySet<number>): void {
    this.inner.passSignals(passed);
    this.stops = { ...this.stops, passed };
  }

  suspendStops(): () => void {
    const { stops } = this;
    this.setStops({ ...NO_STOPS, passed: stops.passed });
    return () => this.setStops(stops);
  }

  private setStops(stops: Stops): void {
    withdraw(this.inner, this.stops);
    install(this.inner, stops);
    this.stops = stops;
  }

  siginfo(tid: number): Uint8Array | null {
    const { last } = this;
    return last?.kind === 'signal' && last.tid === tid ? last.siginfo : null;
  }

  get frameTime(): number {
    return this.inner.frameTime;
  }

  get lastFrame(): number | null {
    return this.inner.lastFrame;
  }

  get currentTid(): number {
    return this.inner.currentTid;
  }

  get moment(): Moment | null {
    return this.inner.moment;
  }

  tasks(): readonly DebugTask[] {
    return this.inner.tasks();
  }

  executable(pid: number): Executable {
    return this.inner.executable(pid);
  }

  descriptors(pid: number): readonly OpenDescriptor[] {
    return this.inner.descriptors(pid);
  }

  registers(tid: number): RegisterWords {
    return this.inner.registers(tid);
  }

  vectorState(tid: number): Uint8Array {
    return this.inner.vectorState(tid);
  }

  readMemory(tid: number, start: Gva, into: Uint8Array): number {
    return this.inner.readMemory(tid, start, into);
  }

  mappings(tid: number): ReturnType<ReplayTarget['mappings']> {
    return this.inner.mappings(tid);
  }

  ticks(tid: number): number | null {
    return this.inner.ticks(tid);
  }

  symbol(tid: number, name: string): Gva | null {
    return this.inner.symbol(tid, name);
  }
}
