import type { Gpa } from '../base/address.js';

/** Byte offsets into the pool; must match native/machine/machine_area.h (test/native/layout.spec.ts). */
export const MachineArea = { stale_count: 0xf014, stale: 0xf020, maxStale: 64 } as const;

const STALE_COUNT = MachineArea.stale_count / 4;
const STALE = MachineArea.stale / 8;

/**
 * The list of changed code whose translations the emulated machine's service drops before it
 * performs the next command: the emulator does not notice stores from outside.
 */
export class StaleCode {
  private readonly words: Uint32Array;
  private readonly ranges: BigUint64Array;

  constructor(pool: ArrayBuffer) {
    this.words = new Uint32Array(pool, 0, 0x4000);
    this.ranges = new BigUint64Array(pool, 0, 0x2000);
  }

  /**
   * False if the list is full: then the service must first perform a command. Precondition: no run is pending.
   */
  add(at: Gpa, length: number): boolean {
    const count = this.words[STALE_COUNT];
    const last = STALE + 2 * count - 2;
    if (count > 0 && this.extend(last, at, length)) return true;
    if (count >= MachineArea.maxStale) return false;
    this.ranges[last + 2] = BigInt(at);
    this.ranges[last + 3] = BigInt(length);
    this.words[STALE_COUNT] = count + 1;
    return true;
  }

  /** Extends a range to the end of one that begins in it or right after it. */
  private extend(range: number, at: Gpa, length: number): boolean {
    const start = Number(this.ranges[range]);
    const size = Number(this.ranges[range + 1]);
    if (at < start || at > start + size) return false;
    this.ranges[range + 1] = BigInt(Math.max(size, at + length - start));
    return true;
  }
}
