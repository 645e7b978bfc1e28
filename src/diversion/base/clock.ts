import { hostClock, hostSleep } from '../../engine/host/libc.js';

const REALTIME = 0;
const MONOTONIC = 1;
/** What CLOCK_* numbers follow the wall clock: REALTIME, REALTIME_COARSE, TAI. */
const WALL: readonly number[] = [0, 5, 11];
/** BOOTTIME and its alarm. */
const BOOT: readonly number[] = [7, 9];
/** Processor time of the process and of the thread. */
const PROCESSOR: readonly number[] = [2, 3];
const KNOWN_CLOCKS = 12;
/** Instructions that read the time-stamp counter see this many ticks a nanosecond. */
const TSC_PER_NANO = 3n;
/** Later than any time in the recording, as in rr. */
const TSC_START = 1n << 60n;
/** Duration of a system call, and of the first of consecutive clock reads. */
const CALL_NANOS = 1000n;
/** The longest duration of a clock read: repeated reads mean waiting for a time. */
const MOST_NANOS = 1_000_000n;

/**
 * `recorded`: clocks are the recording's, and advance with the program's calls; a sleep ends
 * immediately. Two runs see the same times. `now`: those of this machine.
 */
export type ClockMode = 'recorded' | 'now';

export interface ClockStart {
  readonly mode: ClockMode;
  /** Nanoseconds of the monotonic clock where the diversion begins. */
  readonly monotonic: bigint;
  /** What the wall clock and that since boot are ahead. */
  readonly wall: bigint;
  readonly boot: bigint;
  /** The wall clock is a guess: reported when the program reads it. */
  readonly onGuess: (() => void) | null;
}

/** Running clocks. The monotonic one continues from the recorded time, so that it does not run backwards. */
export class DiversionClock {
  private readonly began = hostClock(MONOTONIC);
  private ran = 0n;
  private look = CALL_NANOS;

  constructor(private readonly start: ClockStart) {}

  /** Nanoseconds on this machine since the diversion began, for limits. */
  get hostElapsed(): bigint {
    return hostClock(MONOTONIC) - this.began;
  }

  /** Nanoseconds since the diversion began, as the program sees it. */
  get elapsed(): bigint {
    return this.start.mode === 'now' ? this.hostElapsed : this.ran;
  }

  get monotonic(): bigint {
    return this.start.monotonic + this.elapsed;
  }

  isKnown(clock: number): boolean {
    return clock >= 0 && clock < KNOWN_CLOCKS;
  }

  /** Nanoseconds of a CLOCK_*. */
  now(clock: number): bigint {
    const { mode, wall, boot } = this.start;
    if (WALL.includes(clock)) return mode === 'now' ? hostClock(REALTIME) : this.monotonic + wall;
    if (BOOT.includes(clock)) return this.monotonic + boot;
    return PROCESSOR.includes(clock) ? this.elapsed : this.monotonic;
  }

  /** The program reads a clock, perhaps repeatedly until a time. */
  read(clock: number): bigint {
    if (WALL.includes(clock) && this.start.mode === 'recorded') this.start.onGuess?.();
    this.advance(this.look);
    if (this.look < MOST_NANOS) this.look *= 2n;
    return this.now(clock);
  }

  /** The program does something other than reading clocks. */
  called(): void {
    this.look = CALL_NANOS;
    this.advance(CALL_NANOS);
  }

  /** Time passes; on this machine it does by itself. */
  advance(nanos: bigint): void {
    this.ran += nanos;
  }

  /**
   * All tasks wait for a time of the monotonic clock; null: for the host.
   * @param longest on this machine, in milliseconds
   */
  wait(until: bigint | null, forWorld: boolean, longest: number): void {
    if (this.start.mode === 'recorded' && until !== null && !forWorld) {
      if (until > this.monotonic) this.advance(until - this.monotonic);
      return;
    }
    const millis = until === null ? longest : Math.ceil(Number(until - this.monotonic) / 1e6);
    const before = this.hostElapsed;
    if (millis > 0) hostSleep(Math.min(longest, millis));
    this.advance(this.hostElapsed - before);
  }

  /** A point of `clock` as one of the monotonic clock. */
  toMonotonic(clock: number, nanos: bigint): bigint {
    return this.monotonic + (nanos - this.now(clock));
  }

  /** For stat(2). */
  wall(): readonly [number, number] {
    const nanos = this.now(REALTIME);
    return [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)];
  }

  /** What RDTSC reads. */
  readTimestampCounter(): bigint {
    this.read(MONOTONIC);
    return BigInt.asUintN(64, TSC_START + this.elapsed * TSC_PER_NANO);
  }
}
