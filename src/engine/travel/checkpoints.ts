import type { Checkpoint } from '../replay/state/checkpoint.js';

/** A checkpoint on the way through the recording. */
export interface TravelCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Approximate work between the beginning and it, in exits. */
  readonly effort: number;
  /** The task that runs there inside an interval; -1 between two frames. */
  readonly tid: number;
  /** Its tasks' ticks are exact there, or -1: they were counted from where they are known. */
  counted: boolean;
}

/** Whether both are inside of the same interval between two frames. */
export const isSameInterval = (one: TravelCheckpoint, other: TravelCheckpoint): boolean =>
  one.checkpoint.inside !== null &&
  other.checkpoint.inside !== null &&
  one.checkpoint.frameTime === other.checkpoint.frameTime;

/**
 * The checkpoints of one session, in the order of the program's history, bounded in number: those
 * close to others and far from the current position are evicted first. Pure except for `drop`.
 *
 * Between two frames the order is that of FrameTime. Within an interval the order is known only
 * from having run from one place to another: the caller passes the predecessor.
 */
export class CheckpointCache {
  private list: TravelCheckpoint[] = [];
  private readonly held = new Map<TravelCheckpoint, number>();

  constructor(
    private readonly limit: number,
    private readonly drop: (checkpoint: Checkpoint) => void,
  ) {}

  get size(): number {
    return this.list.length;
  }

  [Symbol.iterator](): IterableIterator<TravelCheckpoint> {
    return this.list[Symbol.iterator]();
  }

  has(saved: TravelCheckpoint): boolean {
    return this.list.includes(saved);
  }

  /** While pinned (until unpinned as many times), it is not evicted. */
  pin(saved: TravelCheckpoint): void {
    this.held.set(saved, (this.held.get(saved) ?? 0) + 1);
  }

  unpin(saved: TravelCheckpoint): void {
    const left = (this.held.get(saved) ?? 0) - 1;
    if (left > 0) this.held.set(saved, left);
    else this.held.delete(saved);
  }

  get first(): TravelCheckpoint {
    return this.list[0];
  }

  /** The last one not after the completion of frame `frameTime`, between two frames or in an interval before. */
  atFrame(frameTime: number): TravelCheckpoint | null {
    const isBefore = ({ checkpoint }: TravelCheckpoint): boolean =>
      checkpoint.inside ? checkpoint.frameTime < frameTime : checkpoint.frameTime <= frameTime;
    return this.list.findLast(isBefore) ?? null;
  }

  before(saved: TravelCheckpoint): TravelCheckpoint | null {
    return this.list[this.list.indexOf(saved) - 1] ?? null;
  }

  /** Inserts one in order: by FrameTime, and within the interval right after `previous` if that is there, too. */
  add(saved: TravelCheckpoint, previous: TravelCheckpoint | null): void {
    const { frameTime, inside } = saved.checkpoint;
    let index = this.list.findIndex((other) => other.checkpoint.frameTime > frameTime);
    if (index < 0) index = this.list.length;
    if (inside) {
      const known =
        previous && previous.checkpoint.frameTime === frameTime ? this.list.indexOf(previous) : -1;
      if (known >= 0) index = known + 1;
      else while (index > 0 && this.isInside(index - 1, frameTime)) index--;
    } else while (index > 0 && this.isInside(index - 1, frameTime)) index--;
    this.list.splice(index, 0, saved);
    this.thin(saved);
  }

  /** Those in the interval after frame `frameTime` that are after `previous` (null: all of them). */
  forgetInside(frameTime: number, previous: TravelCheckpoint | null): void {
    const from = previous ? this.list.indexOf(previous) : -1;
    this.remove(
      (saved, index) =>
        index > from && saved.checkpoint.inside !== null && saved.checkpoint.frameTime === frameTime,
    );
  }

  /**
   * Those in the interval after frame `frameTime` between `previous` and `bound`, if these are in it;
   * the order to them is unknown for a run between the two.
   */
  forgetBetween(frameTime: number, previous: TravelCheckpoint, bound: TravelCheckpoint | null): void {
    const within = (saved: TravelCheckpoint | null): boolean =>
      saved !== null && saved.checkpoint.inside !== null && saved.checkpoint.frameTime === frameTime;
    const from = within(previous) ? this.list.indexOf(previous) : -1;
    const end = bound && within(bound) ? this.list.indexOf(bound) : -1;
    this.remove((saved, index) => index > from && (end < 0 || index < end) && within(saved));
  }

  /** Those after a frame, whose history proved to be wrong. */
  forgetFrom(frameTime: number): void {
    this.remove(
      ({ checkpoint }) =>
        checkpoint.frameTime >= frameTime && (checkpoint.frameTime > frameTime || checkpoint.inside !== null),
    );
  }

  /** Frees memory: evicts the least useful one; false if only the beginning is left. */
  evictOne(): boolean {
    if (this.list.length < 2) return false;
    return this.evict(null);
  }

  clear(): void {
    this.remove(() => true);
  }

  private isInside(index: number, frameTime: number): boolean {
    const { checkpoint } = this.list[index];
    return checkpoint.frameTime === frameTime && checkpoint.inside !== null;
  }

  private thin(added: TravelCheckpoint): void {
    if (this.list.length > this.limit) this.evict(added);
  }

  /** The gap that its removal leaves, the smaller the farther from `near`. The first one stays. */
  private evict(near: TravelCheckpoint | null): boolean {
    let least = 0;
    let value = Infinity;
    const center = (near ?? this.list[this.list.length - 1]).effort;
    for (let index = 1; index < this.list.length; index++) {
      if (this.list[index] === near || this.held.has(this.list[index])) continue;
      const { effort } = this.list[index];
      const next = this.list[index + 1]?.effort ?? effort;
      const gap = 1 + Math.max(0, next - this.list[index - 1].effort);
      const missed = gap / (1 + Math.abs(center - effort));
      if (missed >= value) continue;
      value = missed;
      least = index;
    }
    if (least === 0) return false;
    const [gone] = this.list.splice(least, 1);
    this.drop(gone.checkpoint);
    return true;
  }

  private remove(isGone: (saved: TravelCheckpoint, index: number) => boolean): void {
    const gone = this.list.filter(isGone);
    if (gone.length === 0) return;
    this.list = this.list.filter((saved) => !gone.includes(saved));
    for (const { checkpoint } of gone) this.drop(checkpoint);
  }
}
