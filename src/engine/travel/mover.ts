import { invariant } from '../base/errors.js';
import type { GuestStops } from '../debug/guest-stops.js';
import type { Checkpoint } from '../replay/checkpoint.js';
import type { ReplaySession } from '../replay/session.js';
import type { Task } from '../task/task.js';
import { Stopovers, type Stopover } from './checkpoints.js';
import type { TravelEvent } from './event.js';
import { RUN, type RunOrders, type TravelListener } from './listener.js';

/** Work of some milliseconds, so that whoever waits can look for an interrupt. */
const FRAMES_A_TURN = 64;
const BUDGET_MICROS = 5_000;
/** Guest time that counts like one exit. */
const MICROS_AN_EXIT = 4;
/** Work between two checkpoints on the way, in exits: some twenty milliseconds. */
const EFFORT_BETWEEN = 2_000;
const MAX_STOPOVERS = 48;
/** Turns until a program stands still: an exit that came in between is dealt with first. */
const MAX_PAUSES = 1_000;

export type Slices<T> = Generator<null, T, void>;

/** Where the session stands, as far as it is known: so many instructions of `tid` executed alone behind `from`. */
export interface Here {
  readonly from: Stopover;
  /** -1: not known. */
  readonly steps: number;
}

/** Moves a session: forwards to events, and back to checkpoints. Takes checkpoints on the way. */
export class Mover {
  readonly stopovers: Stopovers;
  interruptRequested = false;
  /** FrameTime of the last frame, once the end was seen. */
  lastFrame: number | null = null;
  /** The stopover at or before the place where the session stands. */
  private from: Stopover;
  private effort = 0;
  private effortAtLast = 0;
  private exitsSeen = 0;

  constructor(
    readonly session: ReplaySession,
    readonly listener: TravelListener,
    readonly stops: GuestStops,
  ) {
    this.stopovers = new Stopovers(MAX_STOPOVERS, (checkpoint) => session.drop(checkpoint));
    this.from = this.keep(null);
    session.onFallBack = (backTo) => this.fellBack(backTo);
  }

  get base(): Stopover {
    return this.from;
  }

  get running(): Task | null {
    return this.session.inside?.task ?? null;
  }

  /** A checkpoint of where the session stands, which is right behind `behind` or farther. */
  keep(behind: Stopover | null): Stopover {
    const stopover = { checkpoint: this.session.checkpoint(), effort: this.effort };
    this.stopovers.add(stopover, behind);
    this.effortAtLast = this.effort;
    return stopover;
  }

  /** The same, and the session is said to stand there from now on. */
  keepHere(): Stopover {
    const { inside } = this.session;
    if (!inside && !this.from.checkpoint.inside && this.from.checkpoint.frameTime === this.session.frameTime)
      return this.from;
    this.from = this.keep(this.from);
    return this.from;
  }

  goTo(stopover: Stopover): void {
    invariant(this.stopovers.has(stopover), 'the checkpoint exists');
    this.session.restore(stopover.checkpoint);
    this.from = stopover;
    this.effort = this.effortAtLast = stopover.effort;
    this.listener.wentTo();
  }

  /** Goes to a checkpoint that is none of the stopovers. */
  goToKept(checkpoint: Checkpoint): void {
    const near = this.stopovers.atFrame(checkpoint.frameTime);
    invariant(near, 'the beginning is kept');
    this.session.restore(checkpoint);
    this.from = near;
    this.effort = this.effortAtLast = near.effort;
    this.listener.wentTo();
  }

  /**
   * Runs to the next event.
   * @param untilFrame FrameTime behind which to stop
   * @param bounded the way does not lead beyond a place that is behind every checkpoint that is known to be
   *   behind `base`: checkpoints in between may be kept
   */
  *forward(orders: RunOrders = RUN, untilFrame = Infinity, bounded = false): Slices<TravelEvent> {
    const { session, listener } = this;
    listener.begin(orders, this.running);
    const startedAt = session.frameTime;
    for (;;) {
      const left = untilFrame - session.frameTime;
      if (left <= 0 && !session.inside) return { kind: 'frame' };
      const progress = session.advance(Math.min(Math.max(left, 1), FRAMES_A_TURN), BUDGET_MICROS);
      this.spend(progress === 'pending');
      if (progress === 'stopped') return this.arrive(startedAt, bounded, listener.event);
      if (progress === 'end') {
        this.lastFrame = session.frameTime;
        return this.arrive(startedAt, bounded, { kind: 'end' });
      }
      if (this.interruptRequested) {
        const event = this.pause();
        if (event) return this.arrive(startedAt, bounded, event);
      }
      if (this.effort - this.effortAtLast >= EFFORT_BETWEEN) {
        const event = this.rest(startedAt, bounded);
        if (event) return this.arrive(startedAt, bounded, event);
      }
      if (progress === 'pending' || left > FRAMES_A_TURN) yield null;
    }
  }

  /** Settles what is known of the order of places, now that a run has ended at one. */
  private arrive(startedAt: number, bounded: boolean, event: TravelEvent | null): TravelEvent {
    invariant(event, 'a run that stopped has an event');
    this.advanceBase(startedAt, bounded);
    return event;
  }

  /** `from` becomes the last stopover that is known to be passed. */
  private advanceBase(_startedAt: number, bounded: boolean): void {
    const { session } = this;
    const { frameTime } = session;
    const within = session.inside !== null;
    const { checkpoint } = this.from;
    const sameInterval = within && checkpoint.frameTime === frameTime;
    if (!sameInterval) {
      const passed = this.stopovers.atFrame(frameTime);
      if (passed && passed.checkpoint.frameTime > checkpoint.frameTime) this.from = passed;
      else if (passed && passed.checkpoint.frameTime === frameTime && !within) this.from = passed;
    }
    if (within && !bounded) this.stopovers.forgetInside(frameTime, this.from);
  }

  /** A checkpoint on the way, if the program can be made to stand. */
  private rest(startedAt: number, bounded: boolean): TravelEvent | null {
    const { session } = this;
    if (!session.pause()) {
      // Not now: the next turn is another occasion.
      return null;
    }
    this.advanceBase(startedAt, bounded);
    this.keepHere();
    return null;
  }

  private pause(): TravelEvent | null {
    const { session, listener } = this;
    for (let tries = 0; tries < MAX_PAUSES; tries++) {
      if (session.pause()) {
        this.interruptRequested = false;
        return { kind: 'interrupted' };
      }
      const progress = session.advance(1, BUDGET_MICROS);
      this.spend(progress === 'pending');
      if (progress === 'end') return { kind: 'end' };
      if (progress === 'stopped') {
        this.interruptRequested = false;
        return listener.event;
      }
    }
    return null;
  }

  private spend(pending: boolean): void {
    const { exits } = this.session.stats;
    this.effort += Math.max(0, exits - this.exitsSeen) + (pending ? BUDGET_MICROS / MICROS_AN_EXIT : 0);
    this.exitsSeen = exits;
  }

  /** The replay itself went back, and counts ticks from there: what was kept of what followed is not so. */
  private fellBack(backTo: number): void {
    this.stopovers.forgetFrom(backTo);
    const known = this.stopovers.atFrame(backTo);
    invariant(known, 'the beginning is kept');
    this.from = known;
    this.listener.fellBack();
  }
}
