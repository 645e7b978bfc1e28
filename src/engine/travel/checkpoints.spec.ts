import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import { CheckpointCache, type TravelCheckpoint } from './checkpoints.js';

const LIMIT = 8;

/** At a place, the only used part of a checkpoint. */
function at(frameTime: number, effort = frameTime, inside = false): TravelCheckpoint {
  const checkpoint = { frameTime, inside: inside ? {} : null } as unknown as Checkpoint;
  return { checkpoint, effort, tid: inside ? 1 : -1, counted: false };
}

function make(limit = LIMIT): { cache: CheckpointCache; dropped: Checkpoint[]; frames: () => number[] } {
  const dropped: Checkpoint[] = [];
  const cache = new CheckpointCache(limit, (checkpoint) => dropped.push(checkpoint));
  const frames = (): number[] => [...cache].map(({ checkpoint }) => checkpoint.frameTime);
  return { cache, dropped, frames };
}

describe('CheckpointCache', () => {
  it('are bounded in number, and thin out with the distance from the last', () => {
    const { cache, dropped, frames } = make();
    for (let frame = 0; frame <= 1000; frame++) {
      cache.add(at(frame), null);
      expect(cache.size).toBeLessThanOrEqual(LIMIT);
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

  it('that are pinned are kept until they are unpinned', () => {
    const { cache, frames } = make();
    const held = at(5);
    cache.add(at(0), null);
    cache.add(held, null);
    cache.pin(held);
    cache.pin(held);
    for (let frame = 6; frame < 200; frame++) cache.add(at(frame), null);
    expect(frames()).toContain(5);
    cache.unpin(held);
    for (let frame = 200; frame < 300; frame++) cache.add(at(frame), null);
    expect(frames()).toContain(5);
    cache.unpin(held);
    while (cache.evictOne());
    expect(frames()).toEqual([0]);
  });

  it('are in the order of history, within an interval by their predecessors', () => {
    const { cache, frames } = make();
    const [first, a, b, c] = [at(10), at(10, 11, true), at(10, 12, true), at(10, 13, true)];
    cache.add(at(0), null);
    cache.add(at(20), null);
    cache.add(first, null);
    cache.add(c, first);
    cache.add(a, first);
    cache.add(b, a);
    expect([...cache].slice(1, 5)).toEqual([first, a, b, c]);
    expect(frames()).toEqual([0, 10, 10, 10, 10, 20]);
    expect(cache.atFrame(10)).toBe(first);
    expect(cache.atFrame(11)).toBe(c);
    expect(cache.atFrame(20)).toBe([...cache][5]);
    expect(cache.before(c)).toBe(b);
    expect(cache.before(cache.first)).toBeNull();
  });

  it('drop those whose order to a pass between two places is unknown', () => {
    const { cache, dropped } = make();
    const [first, a, b, c, d] = [at(10), ...[11, 12, 13, 14].map((effort) => at(10, effort, true))];
    let previous: TravelCheckpoint | null = null;
    for (const saved of [at(0), first, a, b, c, d, at(20)]) {
      cache.add(saved, previous);
      previous = saved;
    }
    cache.forgetBetween(10, a, d);
    expect([...cache].slice(1, -1)).toEqual([first, a, d]);
    expect(dropped).toEqual([b.checkpoint, c.checkpoint]);
    // Bounds elsewhere: the whole of the interval.
    cache.forgetBetween(10, cache.first, null);
    expect([...cache].slice(1, -1)).toEqual([first]);
    cache.add(a, first);
    cache.forgetInside(10, null);
    cache.forgetFrom(10);
    expect([...cache].length).toBe(2);
    cache.clear();
    expect(cache.size).toBe(0);
  });
});
