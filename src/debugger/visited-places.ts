/** Where a debugger's user has stopped, in the order of that. */

/** Each keeps the memory that has changed since. */
const MOST_PLACES = 32;

/** Marks of the replay: the user's position, and the places before and after it, the nearest last. */
export class VisitedPlaces {
  private current: number | null = null;
  private readonly behind: number[] = [];
  private readonly ahead: number[] = [];

  constructor(private readonly forget: (mark: number) => void) {}

  /** The user has come here by running: places ahead are discarded. */
  visit(mark: number): void {
    for (const left of this.ahead.splice(0)) this.forget(left);
    if (this.current !== null) this.behind.push(this.current);
    this.current = mark;
    if (this.behind.length >= MOST_PLACES) this.forget(this.behind.shift() ?? mark);
  }

  /** The previous place, which becomes the user's position; null if there is none. */
  back(): number | null {
    return this.move(this.behind, this.ahead);
  }

  forward(): number | null {
    return this.move(this.ahead, this.behind);
  }

  private move(from: number[], to: number[]): number | null {
    const next = from.pop();
    if (next === undefined) return null;
    if (this.current !== null) to.push(this.current);
    this.current = next;
    return next;
  }
}
