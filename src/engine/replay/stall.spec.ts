import { describe, expect, it } from 'vitest';
import { StallWatch } from './stall.js';

describe('StallWatch', () => {
  it('has a limit before the first event too, at any value of the recorder’s clock', () => {
    const watch = new StallWatch(1000);
    expect(watch.isOverdue(1000, 2839.2)).toBe(false);
    expect(watch.isOverdue(1, 2839.2)).toBe(true);
  });

  it('allows 200 times what the recording took, of ten minutes at most', () => {
    const watch = new StallWatch(0);
    watch.reached(10);
    expect(watch.isOverdue(200e6, 11)).toBe(false);
    expect(watch.isOverdue(1, 11)).toBe(true);
    watch.reached(10);
    expect(watch.isOverdue(600 * 200e6, 1e9)).toBe(false);
    expect(watch.isOverdue(1, 1e9)).toBe(true);
  });

  it('takes a clock that goes back for no time at all', () => {
    const watch = new StallWatch(5);
    watch.reached(10);
    expect(watch.isOverdue(6, 9)).toBe(true);
  });

  it('restarts after progress', () => {
    const watch = new StallWatch(10);
    watch.reached(1);
    expect(watch.isOverdue(10, 1)).toBe(false);
    watch.progressed();
    expect(watch.isOverdue(10, 1)).toBe(false);
    expect(watch.isOverdue(10, 1)).toBe(true);
    expect(watch.seconds).toBe(0);
  });

  it('never ends with an infinite limit', () => {
    expect(new StallWatch(Infinity).isOverdue(1e15, 1)).toBe(false);
  });
});
