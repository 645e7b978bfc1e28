import { hostClock } from '../engine/host/libc.js';

const REALTIME = 0;
const MONOTONIC = 1;
/** What CLOCK_* numbers follow the wall clock: REALTIME, REALTIME_COARSE, TAI. */
const WALL: readonly number[] = [0, 5, 11];
/** Processor time of the process and of the thread. */
const PROCESSOR: readonly number[] = [2, 3];
const KNOWN_CLOCKS = 12;
/** Instructions that read the time-stamp counter see this many ticks a nanosecond. */
const TSC_PER_NANO = 3n;
/** Beyond whatever the recording can have seen, as rr has it. */
const TSC_START = 1n << 60n;

/** Clocks that run. The monotonic one goes on from the recorded time, so that it does not run backwards. */
export class DiversionClock {
  private readonly began = hostClock(MONOTONIC);
  private readonly base: bigint;

  /** @param recordedSeconds the recorder's monotonic clock where the diversion starts */
  constructor(recordedSeconds: number) {
    this.base = BigInt(Math.round(Math.max(0, recordedSeconds) * 1e6)) * 1000n;
  }

  /** Nanoseconds since the diversion began. */
  get elapsed(): bigint {
    return hostClock(MONOTONIC) - this.began;
  }

  get monotonic(): bigint {
    return this.base + this.elapsed;
  }

  isKnown(clock: number): boolean {
    return clock >= 0 && clock < KNOWN_CLOCKS;
  }

  /** Nanoseconds of a CLOCK_*. */
  now(clock: number): bigint {
    if (WALL.includes(clock)) return hostClock(REALTIME);
    return PROCESSOR.includes(clock) ? this.elapsed : this.monotonic;
  }

  /** A point of `clock` as one of the monotonic clock. */
  toMonotonic(clock: number, nanos: bigint): bigint {
    return this.monotonic + (nanos - this.now(clock));
  }

  /** For stat(2). */
  wall(): readonly [number, number] {
    const nanos = hostClock(REALTIME);
    return [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)];
  }

  get timestampCounter(): bigint {
    return BigInt.asUintN(64, TSC_START + this.elapsed * TSC_PER_NANO);
  }
}
