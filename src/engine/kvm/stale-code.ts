import type { Gpa } from '../base/address.js';

/** Byte offsets into the pool; must match native/machine/machine_area.h (test/kvm/layout.spec.ts). */
export const MachineArea = { stale_count: 0xf014, stale: 0xf020, maxStale: 64 } as const;

const STALE_COUNT = MachineArea.stale_count / 4;
const STALE = MachineArea.stale / 8;

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
    return this.words[STALE_COUNT] >= MachineArea.maxStale;
  }

  /** Precondition: not full; no run is pending. */
  add(at: Gpa, length: number): void {
    const count = this.words[STALE_COUNT];
    this.ranges[STALE + 2 * count] = BigInt(at);
    this.ranges[STALE + 2 * count + 1] = BigInt(length);
    this.words[STALE_COUNT] = count + 1;
  }
}
