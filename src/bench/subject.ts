import type { BenchContext } from './context.js';

/** One line of the result: what was measured, the figure, what it should be. */
export interface Row {
  what: string;
  measured: string;
  /** The same as numbers, for --json; their names have the unit. */
  values?: Readonly<Record<string, number>>;
  aim?: string;
}

/** A named measurement: `npm run bench -- NAME`. Listed in registry.ts. */
export interface Subject {
  name: string;
  /** One line for `npm run bench -- --list`. */
  about: string;
  run(context: BenchContext): Promise<Row[]> | Row[];
}
