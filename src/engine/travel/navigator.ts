import { invariant } from '../base/errors.js';
import type { RegisterWords } from '../base/registers.js';
import type { GuestStops } from '../guest/stops/guest-stops.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplaySession } from '../replay/session.js';
import type { Task } from '../task/task.js';
import type { Archive } from './archive.js';
import { CheckpointCache, type TravelCheckpoint } from './checkpoints.js';
import type { TravelEvent } from './event.js';
import { RUN, type RunOrders, type TravelListener } from './listener.js';

/** Work of some milliseconds, so that the caller can check for an interrupt. */
const FRAMES_A_TURN = 64;
const BUDGET_MICROS = 5_000;
/** Guest time that counts like one exit: what the engine does at one, on average. */
const MICROS_AN_EXIT = 40;
/** Work between two checkpoints on the way, in exits: some twenty milliseconds. */
const EFFORT_BETWEEN = 500;
/**
 * The interval grows with the distance: each checkpoint costs copy-on-write page faults, and most
 * are evicted. It is this fraction of the work so far, and of a way to a known end.
 */
const PART_OF_WAY = 64;
const PART_OF_BOUNDED_WAY = 4;
/** The same where the program stops for its user. */
const EFFORT_FOR_USER = 50;
const MAX_CHECKPOINTS = 48;
/** Frames that a checkpoint must be nearer than what is at hand to be worth reading from a file. */
const WORTH_READING = 16;
/** Estimated work of a frame, in exits, if it was not measured. */
const EXITS_A_FRAME = 2;
/** Checkpoints that are kept also where guest memory is scarce. */
const MIN_CHECKPOINTS = 8;
/** Turns until a program is stopped: a pending exit is handled first. */
const MAX_PAUSES = 1_000;

export type Slices<T> = Generator<null, T, void>;

/** The session's position, as far as it is known: a number of instructions of `tid` single-stepped after `from`. */
export interface Here {
  readonly from: TravelCheckpoint;
  /** -1: unknown. */
  readonly steps: number;
}

/** An interrupt that was requested during a search. */
export class Interrupted extends Error {}

/** Moves a session: forwards to events, and back to checkpoints. Takes checkpoints on the way. */
export class Navigator {
  readonly cache: CheckpointCache;
  interruptRequested = false;
  /** Guest time after which runs end; 0: they do not. */
  slice = 0;
  /** FrameTime of the last frame, once the end was reached. */
  lastFrame: number | null = null;
  /** Checkpoints in files, or null. */
  archive: Archive | null = null;
  /** The checkpoint at or before the session's position. */
  private from: TravelCheckpoint;
  /** The checkpoint exactly at the session's position, or null. Written by this class only. */
  current: TravelCheckpoint | null = null;
  private journey: TravelCheckpoint[] | null = null;
  /** A checkpoint that is not before the end of the way since the last `goTo`. */
  private bound: TravelCheckpoint | null = null;
  /** From the last `goTo` to the bound. */
  private wayLength = 0;
  effort = 0;
  private effortAtLast = 0;
  private exitsSeen = 0;

  constructor(
    readonly session: ReplaySession,
    readonly listener: TravelListener,
    readonly stops: GuestStops,
  ) {
    this.cache = new CheckpointCache(MAX_CHECKPOINTS, (checkpoint) => session.drop(checkpoint));
    this.from = this.keep(null);
    this.cache.pin(this.from);
    session.onFallBack((backTo) => this.fellBack(backTo));
  }

  /** Of the task that runs. */
  registers(): RegisterWords {
    const { running, session } = this;
    invariant(running, 'a task runs');
    return session.core.registers(running);
  }

  private setFrom(saved: TravelCheckpoint): void {
    this.cache.pin(saved);
    this.cache.unpin(this.from);
    this.from = saved;
  }

  get running(): Task | null {
    return this.session.inside?.task ?? null;
  }

  /** A checkpoint of the session's position, which is right after `previous` or later. */
  keep(previous: TravelCheckpoint | null): TravelCheckpoint {
    const tid = this.running?.tid ?? -1;
    if (previous && this.session.inside)
      this.cache.forgetBetween(this.session.frameTime, previous, this.bound);
    const counted = this.session.counting || this.session.alwaysCounts;
    const saved = { checkpoint: this.session.checkpoint(), effort: this.effort, tid, counted };
    this.cache.add(saved, previous);
    this.effortAtLast = this.effort;
    this.enforceMemoryBudget(saved);
    return saved;
  }

  /** Checkpoints keep otherwise unused pages: they may use half of guest memory, minus what is used already. */
  private enforceMemoryBudget(added: TravelCheckpoint): void {
    const { memory } = this.session.core;
    const { cache } = this;
    cache.pin(added);
    while (memory.pagesInUse > memory.limitPages / 2 && cache.size > MIN_CHECKPOINTS)
      if (!cache.evictOne()) break;
    cache.unpin(added);
  }

  /** The last checkpoint not after the completion of a frame: from the cache, or read from a file. */
  atFrame(frameTime: number): TravelCheckpoint {
    const near = this.cache.atFrame(frameTime);
    invariant(near, 'the beginning is kept');
    return this.fromArchive(near, frameTime) ?? near;
  }

  /** The checkpoint before another one, likewise; null for the beginning. */
  before(saved: TravelCheckpoint): TravelCheckpoint | null {
    const near = this.cache.before(saved);
    if (!near) return null;
    const { frameTime, inside } = saved.checkpoint;
    return this.fromArchive(near, inside ? frameTime : frameTime - 1) ?? near;
  }

  /** A checkpoint from a file that is well after `near`, up to a frame; it is added to the cache. */
  private fromArchive(near: TravelCheckpoint, frameTime: number): TravelCheckpoint | null {
    while (this.archive) {
      const latest = this.archive.latest(frameTime);
      const gain = latest - near.checkpoint.frameTime;
      if (gain < WORTH_READING) return null;
      const checkpoint = this.archive.load(latest);
      if (!checkpoint) continue;
      const saved = { checkpoint, effort: near.effort + gain * EXITS_A_FRAME, tid: -1, counted: false };
      this.cache.pin(near);
      this.cache.add(saved, near);
      this.enforceMemoryBudget(saved);
      this.cache.unpin(near);
      return saved;
    }
    return null;
  }

  /** The same, and it becomes the session's known position; it is part of the journey, if there is one. */
  keepHere(): TravelCheckpoint {
    this.keepOnTheWay();
    if (this.journey) {
      this.cache.pin(this.from);
      this.journey.push(this.from);
    }
    return this.from;
  }

  private keepOnTheWay(): void {
    if (this.current) return;
    const { checkpoint } = this.from;
    const atFrame = !this.session.inside && !checkpoint.inside;
    if (!atFrame || checkpoint.frameTime !== this.session.frameTime) this.setFrom(this.keep(this.from));
    this.current = this.from;
  }

  /** The user stops here, and may go back from here: worth a checkpoint unless one is near. */
  keepForUser(): void {
    if (this.effort - this.effortAtLast >= EFFORT_FOR_USER) this.keepOnTheWay();
  }

  /** What `keepHere` keeps from now on until `endJourney` is not thinned out. */
  beginJourney(): void {
    this.endJourney();
    this.journey = [];
  }

  endJourney(): void {
    for (const saved of this.journey ?? []) this.cache.unpin(saved);
    this.journey = null;
  }

  /** @param bound the way from there will not go past this one, if it is in the same interval; null: unknown */
  goTo(saved: TravelCheckpoint, bound: TravelCheckpoint | null = null): void {
    invariant(this.cache.has(saved), 'the checkpoint exists');
    this.bound = bound;
    this.wayLength = bound ? bound.effort - saved.effort : 0;
    this.session.restore(saved.checkpoint);
    this.setFrom(saved);
    this.current = saved;
    this.effort = this.effortAtLast = saved.effort;
    this.listener.wentTo();
  }

  /** Goes to a checkpoint that is not in the cache. */
  goToKept(checkpoint: Checkpoint): void {
    const near = this.cache.atFrame(checkpoint.frameTime);
    invariant(near, 'the beginning is kept');
    this.bound = null;
    this.session.restore(checkpoint);
    this.current = null;
    this.setFrom(near);
    this.effort = this.effortAtLast = near.effort;
    this.listener.wentTo();
  }

  /**
   * Runs to the next event.
   * @param untilFrame FrameTime after which to stop
   * @param bounded the way does not go past the bound of `goTo`, or not past the interval: later checkpoints may be
   * kept
   */
  *forward(orders: RunOrders = RUN, untilFrame = Infinity, bounded = false): Slices<TravelEvent> {
    const { session, listener } = this;
    listener.begin(orders, this.running);
    let advanced = false;
    for (;;) {
      const left = untilFrame - session.frameTime;
      if (left <= 0 && !session.inside) {
        if (advanced) this.advanceBase(bounded);
        return { kind: 'frame' };
      }
      advanced = true;
      this.current = null;
      const budget = this.slice || BUDGET_MICROS;
      const progress = session.advance(Math.min(Math.max(left, 1), FRAMES_A_TURN), budget);
      this.spend(progress === 'pending');
      if (progress === 'stopped') return this.arrive(bounded, listener.event);
      if (progress === 'end') {
        this.lastFrame = session.frameTime;
        return this.arrive(bounded, { kind: 'end' });
      }
      if (this.slice > 0 && progress === 'pending' && session.pause())
        return this.arrive(bounded, { kind: 'slice' });
      if (this.interruptRequested) {
        const event = this.pause();
        if (event) return this.arrive(bounded, event);
      }
      if (this.effort - this.effortAtLast >= this.effortBetween(bounded)) this.checkpointIfPossible(bounded);
      if (progress === 'pending' || left > FRAMES_A_TURN) yield null;
    }
  }

  private effortBetween(bounded: boolean): number {
    if (!bounded || !this.bound) return Math.max(EFFORT_BETWEEN, this.effort / PART_OF_WAY);
    // Searching between two near checkpoints is as fast as taking another.
    return this.wayLength < 2 * EFFORT_BETWEEN ? Infinity : this.wayLength / PART_OF_BOUNDED_WAY;
  }

  /** Throws Interrupted if requested: checked between two runs. */
  checkInterrupt(): void {
    if (this.interruptRequested) throw new Interrupted();
  }

  /** Updates the known order of places at the end of a run. */
  private arrive(bounded: boolean, event: TravelEvent | null): TravelEvent {
    invariant(event, 'a run that stopped has an event');
    this.advanceBase(bounded);
    return event;
  }

  /** `from` becomes the last checkpoint that is known to be passed. */
  private advanceBase(bounded: boolean): void {
    const { session } = this;
    const { frameTime } = session;
    const within = session.inside !== null;
    const { checkpoint } = this.from;
    const sameInterval = within && checkpoint.frameTime === frameTime;
    if (!sameInterval) {
      const passed = this.cache.atFrame(frameTime);
      if (passed && passed.checkpoint.frameTime > checkpoint.frameTime) this.setFrom(passed);
      else if (passed && passed.checkpoint.frameTime === frameTime && !within) this.setFrom(passed);
    }
    if (within && !bounded) this.cache.forgetInside(frameTime, this.from);
  }

  /** A checkpoint on the way, if the program can be stopped. */
  private checkpointIfPossible(bounded: boolean): void {
    // If not now, the next turn tries again.
    if (!this.session.pause()) return;
    this.advanceBase(bounded);
    this.keepOnTheWay();
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
    const { exits } = this.session;
    this.effort += Math.max(0, exits - this.exitsSeen) + (pending ? BUDGET_MICROS / MICROS_AN_EXIT : 0);
    this.exitsSeen = exits;
  }

  /** The replay itself fell back, and counts ticks from there: later checkpoints are invalid. */
  private fellBack(backTo: number): void {
    this.cache.forgetFrom(backTo);
    if (backTo === 0) this.archive = null;
    const known = this.cache.atFrame(backTo);
    invariant(known, 'the beginning is kept');
    this.setFrom(known);
    this.current = null;
    this.listener.fellBack();
  }
}
