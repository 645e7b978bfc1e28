/**
 * The frames for which a register match proved wrong: whoever replays them, now or again, counts ticks, so that
 * every pass over them is the same. Pure.
 */
export class ExactRanges {
  /** Disjoint, ascending: from the first frame to the last, both included. */
  private ranges: { first: number; last: number }[] = [];

  includes(frameTime: number): boolean {
    for (const { first, last } of this.ranges) if (frameTime >= first && frameTime <= last) return true;
    return false;
  }

  /** Whether any such frame is `frameTime` or later. */
  reachesTo(frameTime: number): boolean {
    return this.ranges.some(({ last }) => last >= frameTime);
  }

  add(first: number, last: number): void {
    const apart = this.ranges.filter((range) => range.last < first - 1 || range.first > last + 1);
    const joined = this.ranges.filter((range) => !apart.includes(range));
    const all = [...joined, { first, last }];
    apart.push({
      first: Math.min(...all.map((range) => range.first)),
      last: Math.max(...all.map((range) => range.last)),
    });
    this.ranges = apart.sort((a, b) => a.first - b.first);
  }

  list(): readonly { readonly first: number; readonly last: number }[] {
    return this.ranges;
  }
}
