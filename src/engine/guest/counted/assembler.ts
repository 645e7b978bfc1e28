import { lowWord } from '../../base/address.js';
import { LEAVE_SHIFT } from './layout.js';

const FIRST_SIZE = 1024;
const INT32 = 0x8000_0000;

/** Machine code that grows, for a known address, and the place in the program that each instruction replaces. */
export class Assembler {
  private buffer = new Uint8Array(FIRST_SIZE);
  private view = new DataView(this.buffer.buffer);
  length = 0;
  /** Of each instruction: its offset, the program's address that it replaces, `Fix` bits and `Leave`. */
  readonly offsets: number[] = [];
  readonly origins: number[] = [];
  readonly fixes: number[] = [];

  /** @param start address of the first byte */
  constructor(readonly start: number) {}

  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** Address of the next byte. */
  get here(): number {
    return this.start + this.length;
  }

  /** The next instruction replaces the program's at `origin`. */
  mark(origin: number, fix: number, leave = 0): void {
    this.offsets.push(this.length);
    this.origins.push(origin);
    this.fixes.push(fix | (leave << LEAVE_SHIFT));
  }

  emit(bytes: ArrayLike<number>): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Appends an instruction that replaces the program's at `origin`; with `target`, the displacement to that, its end. */
  instruction(origin: number, fix: number, bytes: ArrayLike<number>, target?: number): void {
    this.mark(origin, fix);
    this.emit(bytes);
    if (target !== undefined) this.relative(target);
  }

  /** Appends a 32-bit displacement, the instruction's end, relative to which `target` is. */
  relative(target: number): void {
    this.reserve(4);
    this.view.setInt32(this.length, target - (this.here + 4), true);
    this.length += 4;
  }

  /** Sets a displacement that was appended before. */
  patchRelative(offset: number, target: number): void {
    this.view.setInt32(offset, target - (this.start + offset + 4), true);
  }

  /** Sets one byte that was appended before: the distance from its end to here. */
  patchShort(offset: number): void {
    this.buffer[offset] = this.length - (offset + 1);
  }

  align(size: number): void {
    while (this.here % size !== 0) this.emit([0xcc]);
  }

  /** Appends an address as eight bytes. */
  word(value: number): void {
    this.reserve(8);
    this.view.setUint32(this.length, lowWord(value), true);
    this.view.setUint32(this.length + 4, Math.floor(value / 0x1_0000_0000), true);
    this.length += 8;
  }

  private reserve(size: number): void {
    if (this.length + size <= this.buffer.length) return;
    const grown = new Uint8Array(2 * this.buffer.length);
    grown.set(this.buffer);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** Whether a displacement of 32 bits can be that large. */
export const isInReach = (distance: number): boolean => distance >= -INT32 && distance < INT32;
