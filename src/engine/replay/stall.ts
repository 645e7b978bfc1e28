/** How much slower than the recording a machine may be: an emulated processor is 10 to 50 times, a busy one more. */
const SLOWEST_MACHINE = 200;
/** A recorded interval that counts; longer ones are sleep or damage. */
const MAX_RECORDED_SECONDS = 600;

/**
 * How long the program has run without coming nearer to its event. Guest time that brought ticks nearer to a
 * known count is progress, however much of it there is; anything else ends at a limit, so that a replay never
 * goes on for ever.
 */
export class StallWatch {
  private micros = 0;
  /** The recorder's clock at the last event that the program was run to; NaN before the first. */
  private reachedSec = NaN;

  /** @param limitMicros besides what the recording's own pace allows; Infinity: for ever */
  constructor(private readonly limitMicros: number) {}

  get seconds(): number {
    return Math.round(this.micros / 1e6);
  }

  /** The program came to an event that was recorded at this time, in seconds of the recorder's clock. */
  reached(monotonicSec: number): void {
    this.micros = 0;
    this.reachedSec = monotonicSec;
  }

  /** The program came nearer to its event. */
  progressed(): void {
    this.micros = 0;
  }

  /**
   * Guest time went by without progress towards an event that was recorded at `monotonicSec`.
   * @returns whether that is more than the limit plus what the recording took for this interval
   */
  isOverdue(micros: number, monotonicSec: number): boolean {
    if (Number.isNaN(this.reachedSec)) this.reachedSec = monotonicSec;
    this.micros += micros;
    const recorded = Math.min(Math.max(0, monotonicSec - this.reachedSec), MAX_RECORDED_SECONDS);
    return this.micros > this.limitMicros + recorded * 1e6 * SLOWEST_MACHINE;
  }
}
