import type { Gpa } from '../base/address.js';

/** Must match native/machine/machine_area.h: the last page of the control block. */
const AREA = 0xf000;
const STALE_COUNT = (AREA + 20) / 4;
const STALE = (AREA + 32) / 8;
const MAX_STALE = 64;

/**
 * The list of changed code that the emulated machine's service stores over once more from inside before
 * it performs the next command: the emulator notices only what its own processor stores.
 */
export class StaleCode {
  private readonly words: Uint32Array;
  private readonly ranges: BigUint64Array;

  constructor(pool: ArrayBuffer) {
    this.words = new Uint32Array(pool, 0, 0x4000);
    this.ranges = new BigUint64Array(pool, 0, 0x2000);
  }

  get full(): boolean {
    return this.words[STALE_COUNT] >= MAX_STALE;
  }

  /** Precondition: not full; no run is pending. */
  add(at: Gpa, length: number): void {
    const count = this.words[STALE_COUNT];
    this.ranges[STALE + 2 * count] = BigInt(at);
    this.ranges[STALE + 2 * count + 1] = BigInt(length);
    this.words[STALE_COUNT] = count + 1;
  }
}
