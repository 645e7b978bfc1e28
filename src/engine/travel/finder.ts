import type { Reverse } from './reverse.js';
import type { Searcher } from './search.js';

/** What finds places inside of intervals, by running over them again. */
export abstract class Finder {
  constructor(
    protected readonly search: Searcher,
    protected readonly reverse: Reverse,
  ) {}

  protected get navigator(): Searcher['navigator'] {
    return this.search.navigator;
  }
}
