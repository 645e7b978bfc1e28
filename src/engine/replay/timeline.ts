import { EventKind, type TraceFrame } from '../trace/frame.js';
import {
  dropCheckpoint,
  restoreCheckpoint,
  takeCheckpoint,
  type Checkpoint,
  type CheckpointPlace,
} from './state/checkpoint.js';
import type { ReplayCore } from './state/core.js';
import { countKept, limitKept } from './state/kept-pages.js';
import { isFoundByRegisters } from './plan/plan.js';
import { isElidable } from './ticks/elide.js';
import type { TickStrategy } from './ticks/strategy.js';

/** A wrong landing usually causes a divergence soon; a checkpoint's pages cost memory. */
const MAX_CHECKPOINTS = 4;
/** Each costs the page faults of what is written after it: not worth it more often than this. */
const EXITS_BETWEEN = 1000;
/** The same if one is needed only for a loss of the processor's counter. */
const EXITS_BETWEEN_COUNTED = 20_000;
const FRAMES_AHEAD = 32;

/**
 * The last checkpoints before intervals that end by register match; and one where the processor
 * counted, for a loss of the counter only: a divergence while ticks are counted would recur.
 */
export class Timeline {
  fallbacks = 0;
  /** Oldest first. */
  private readonly checkpoints: Checkpoint[] = [];
  private lastExits = -Infinity;
  private counted: Checkpoint | null = null;
  private countedExits = -Infinity;
  /** The only checkpoint keeps too many pages: another one is to replace it. */
  private isOver = false;
  /** Some were given up for memory. */
  private gaveUp = false;
  /** The frame that failed when the replay began again for that. */
  private restartedAt = 0;

  /** What was replayed since the beginning rests on a checkpoint that another session wrote. */
  private trustsFile = false;

  /** @param beginning before the first frame */
  constructor(
    private readonly core: ReplayCore,
    readonly beginning: Checkpoint,
  ) {
    const { memory } = core;
    limitKept(
      memory,
      () => countKept(memory, this.counted ? [this.counted, ...this.checkpoints] : this.checkpoints),
      () => this.giveUpPages(),
    );
  }

  /** Whether there is anything to go back to for a frame that could not be replayed. */
  canGoBack(failedAt: number): boolean {
    return this.checkpoints.length > 0 || this.trustsFile || this.canRestart(failedAt);
  }

  private canRestart(failedAt: number): boolean {
    return this.gaveUp && failedAt > this.restartedAt;
  }

  /**
   * Before an interval: takes a checkpoint if its end will be found by registers, or the processor
   * counts, and the last one is enough exits ago.
   * @param isChosen the strategy counts because somebody chose it: there is no other to go on with
   */
  consider(
    { counts, name }: TickStrategy,
    isChosen: boolean,
    exits: number,
    place: () => CheckpointPlace,
  ): void {
    if (name === 'counter' && exits - this.countedExits >= EXITS_BETWEEN_COUNTED) {
      this.dropCounted();
      this.countedExits = exits;
      this.counted = takeCheckpoint(this.core, place());
    }
    const isDue = this.checkpoints.length === 0 || this.isOver || exits - this.lastExits >= EXITS_BETWEEN;
    const isProven = counts && (isChosen || name !== 'instrumented');
    if (isProven || !isDue || !endsByRegisters(this.core)) return;
    this.lastExits = exits;
    if (this.checkpoints.length === MAX_CHECKPOINTS) this.dropOldest();
    this.checkpoints.push(takeCheckpoint(this.core, place()));
    while (this.isOver && this.checkpoints.length > 1) this.giveUpOldest();
    this.isOver = false;
  }

  /**
   * Restores and drops the latest checkpoint; null if there is none.
   * @param failedAt the frame that could not be replayed
   */
  goBack(failedAt: number): Checkpoint | null {
    const checkpoint = this.checkpoints.pop();
    if (!checkpoint) return this.toBeginning(failedAt);
    this.forgetCounted(checkpoint.frameTime);
    return this.backTo(checkpoint);
  }

  /** Puts the core back to the latest checkpoint of any kind, or to the beginning. */
  goBackUncounted(): Checkpoint {
    const { counted } = this;
    const last = this.checkpoints.at(-1);
    if (!counted || (last && last.frameTime > counted.frameTime)) {
      const checkpoint = last ? this.goBack(last.frameTime) : null;
      if (checkpoint) return checkpoint;
      restoreCheckpoint(this.core, this.beginning);
      this.fallbacks++;
      return this.beginning;
    }
    this.counted = null;
    return this.backTo(counted);
  }

  private backTo(checkpoint: Checkpoint): Checkpoint {
    restoreCheckpoint(this.core, checkpoint);
    dropCheckpoint(this.core, checkpoint);
    this.fallbacks++;
    this.lastExits = -Infinity;
    return checkpoint;
  }

  private forgetCounted(behind: number): void {
    if (this.counted && this.counted.frameTime > behind) this.dropCounted();
  }

  private dropCounted(): boolean {
    const { counted } = this;
    if (counted) dropCheckpoint(this.core, counted);
    this.counted = null;
    this.countedExits = -Infinity;
    return counted !== null;
  }

  /** The error may precede a checkpoint that another session wrote, or those that are left: tries again without any. */
  private toBeginning(failedAt: number): Checkpoint | null {
    if (!this.trustsFile && !this.canRestart(failedAt)) return null;
    const why = this.trustsFile
      ? 'a checkpoint from a file may be wrong'
      : 'the checkpoint before an error was given up for memory';
    this.core.log.warn({ failedAt }, `${why}: replaying from the beginning`);
    if (!this.trustsFile) this.restartedAt = failedAt;
    this.trustsFile = this.gaveUp = false;
    restoreCheckpoint(this.core, this.beginning);
    this.dropCounted();
    return this.beginning;
  }

  /**
   * The replay jumped: checkpoints after the new position cannot be used.
   * @param toFile to a checkpoint that another session wrote
   */
  travelled(frameTime: number, toFile: boolean): void {
    this.trustsFile ||= toFile;
    this.forgetCounted(frameTime);
    while (
      this.checkpoints.length > 0 &&
      this.checkpoints[this.checkpoints.length - 1].frameTime > frameTime
    ) {
      const last = this.checkpoints.pop();
      if (last) dropCheckpoint(this.core, last);
    }
    this.lastExits = -Infinity;
  }

  /** Frees pages, where memory is at its limit; false if there are none. */
  giveUpOldest(): boolean {
    this.gaveUp ||= this.checkpoints.length > 0;
    return this.dropOldest();
  }

  /** Frees pages of checkpoints that keep too many; false: of the last one, which is replaced at the next interval. */
  giveUpPages(): boolean {
    if (this.checkpoints.length > 1) return this.giveUpOldest();
    this.isOver = this.checkpoints.length > 0;
    return false;
  }

  private dropOldest(): boolean {
    const oldest = this.checkpoints.shift();
    if (!oldest) return this.dropCounted();
    dropCheckpoint(this.core, oldest);
    return true;
  }
}

/**
 * Whether tracee code runs next, from known ticks, to an event that only registers identify: immediately, or after
 * the buffered system calls that precede it.
 * @param current the frame that is under way; null: the next one is to begin
 */
export function endsByRegisters({ trace, tasks }: ReplayCore, current: TraceFrame | null = null): boolean {
  const frameAt = (k: number): TraceFrame | null =>
    current ? (k === 1 ? current : trace.peek(k - 1)) : trace.peek(k);
  const first = frameAt(1);
  const task = first && tasks.get(first.tid);
  if (!first || !task || task.ticks < 0) return false;
  if (
    first.kind !== EventKind.syscallbufFlush &&
    first.kind !== EventKind.sched &&
    first.kind !== EventKind.signal
  )
    return false;
  for (let k = 1; k <= FRAMES_AHEAD; k++) {
    const frame = frameAt(k);
    if (!frame || frame.tid !== task.tid) return false;
    if (frame.kind === EventKind.syscallbufFlush) continue;
    if (frame.kind === EventKind.signal) return isFoundByRegisters(frame);
    // The next frame decides; past the lookahead, an unnecessary checkpoint is harmless.
    return frame.kind === EventKind.sched && (k === FRAMES_AHEAD || !isElidable(frame, task, frameAt(k + 1)));
  }
  return false;
}
