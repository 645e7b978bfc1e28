/** The processor's counter of conditional branches that the program retired: rr's ticks. */
export interface BranchCounter {
  /** At most so many branches later than asked does a run end. */
  readonly skid: number;
  /** Counted since the last `arm`. The program stands. */
  read(): number;
  /** Counts from zero; from `after` on (0: never) a run ends with Exit.Interrupted. */
  arm(after: number): void;
}
