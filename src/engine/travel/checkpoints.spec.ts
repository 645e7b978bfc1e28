import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import { CheckpointCache, type TravelCheckpoint } from './checkpoints.js';

const LIMIT = 8;

/** At a place: of checkpoints, only it is looked at. */
function at(frameTime: number, effort = frameTime, inside = false): TravelCheckpoint {
  const checkpoint = { frameTime, inside: inside ? {} : null } as unknown as Checkpoint;
  return { checkpoint, effort, tid: inside ? 1 : -1, counted: false };
}

function make(limit = LIMIT): { stopovers: CheckpointCache; dropped: Checkpoint[]; frames: () => number[] } {
  const dropped: Checkpoint[] = [];
  const stopovers = new CheckpointCache(limit, (checkpoint) => dropped.push(checkpoint));
  const frames = (): number[] => [...stopovers].map(({ checkpoint }) => checkpoint.frameTime);
  return { stopovers, dropped, frames };
}

describe('CheckpointCache', () => {
  it('stay few, whatever comes, and thin out with the distance from the last', () => {
    const { stopovers, dropped, frames } = make();
    for (let frame = 0; frame <= 1000; frame++) {
      stopovers.add(at(frame), null);
      expect(stopovers.size).toBeLessThanOrEqual(LIMIT);
    }
    expect(frames().length + dropped.length).toBe(1001);
    expect(new Set(dropped).size).toBe(dropped.length);
    const kept = frames();
    expect(kept[0]).toBe(0);
    expect(kept[kept.length - 1]).toBe(1000);
    const gaps = kept.slice(1).map((frame, index) => frame - kept[index]);
    expect(gaps[gaps.length - 1]).toBe(1);
    // The older, the farther from the next.
    expect(gaps.slice(0, -1).every((gap, index) => gap >= gaps[index + 1])).toBe(true);
  });

  it('that are held stay, and go when they are let go', () => {
    const { stopovers, frames } = make();
    const held = at(5);
    stopovers.add(at(0), null);
    stopovers.add(held, null);
    stopovers.pin(held);
    stopovers.pin(held);
    for (let frame = 6; frame < 200; frame++) stopovers.add(at(frame), null);
    expect(frames()).toContain(5);
    stopovers.unpin(held);
    for (let frame = 200; frame < 300; frame++) stopovers.add(at(frame), null);
    expect(frames()).toContain(5);
    stopovers.unpin(held);
    while (stopovers.evictOne());
    expect(frames()).toEqual([0]);
  });

  it('are in the order of history, within an interval by what is said of them', () => {
    const { stopovers, frames } = make();
    const [first, a, b, c] = [at(10), at(10, 11, true), at(10, 12, true), at(10, 13, true)];
    stopovers.add(at(0), null);
    stopovers.add(at(20), null);
    stopovers.add(first, null);
    stopovers.add(c, first);
    stopovers.add(a, first);
    stopovers.add(b, a);
    expect([...stopovers].slice(1, 5)).toEqual([first, a, b, c]);
    expect(frames()).toEqual([0, 10, 10, 10, 10, 20]);
    expect(stopovers.atFrame(10)).toBe(first);
    expect(stopovers.atFrame(11)).toBe(c);
    expect(stopovers.atFrame(20)).toBe([...stopovers][5]);
    expect(stopovers.before(c)).toBe(b);
    expect(stopovers.before(stopovers.first)).toBeNull();
  });

  it('forget what a pass between two places cannot have an opinion of', () => {
    const { stopovers, dropped } = make();
    const [first, a, b, c, d] = [at(10), ...[11, 12, 13, 14].map((effort) => at(10, effort, true))];
    let behind: TravelCheckpoint | null = null;
    for (const stopover of [at(0), first, a, b, c, d, at(20)]) {
      stopovers.add(stopover, behind);
      behind = stopover;
    }
    stopovers.forgetBetween(10, a, d);
    expect([...stopovers].slice(1, -1)).toEqual([first, a, d]);
    expect(dropped).toEqual([b.checkpoint, c.checkpoint]);
    // Bounds elsewhere: the whole of the interval.
    stopovers.forgetBetween(10, stopovers.first, null);
    expect([...stopovers].slice(1, -1)).toEqual([first]);
    stopovers.add(a, first);
    stopovers.forgetInside(10, null);
    stopovers.forgetFrom(10);
    expect([...stopovers].length).toBe(2);
    stopovers.clear();
    expect(stopovers.size).toBe(0);
  });
});
