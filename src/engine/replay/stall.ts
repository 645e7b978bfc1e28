/** How much slower than the recording a machine may be: an emulated processor is 10 to 50 times, a busy one more. */
const SLOWEST_MACHINE = 200;
/** A recorded interval that counts; longer ones are sleep or damage. */
const MAX_RECORDED_SECONDS = 600;

/**
 * How long the program has run without progress towards its event. Guest time in which ticks
 * approach a known count is progress; anything else ends at a limit, so that a replay always
 * terminates.
 */
export class StallWatch {
  private micros = 0;
  /** The recorder's clock at the last event that the program was run to; NaN before the first. */
  private reachedSec = NaN;

  /** @param limitMicros in addition to the allowance for the recording's own pace; Infinity: no limit */
  constructor(private readonly limitMicros: number) {}

  get seconds(): number {
    return Math.round(this.micros / 1e6);
  }

  /** The program reached an event that was recorded at this time, in seconds of the recorder's clock. */
  reached(monotonicSec: number): void {
    this.micros = 0;
    this.reachedSec = monotonicSec;
  }

  /** The program made progress towards its event. */
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
