import { invariant } from '../base/errors.js';
import type { BlockFile } from './chunk.js';
import { corrupt } from './corrupt.js';
import type { MemWrite } from './frame.js';

/** Decompressed blocks of `data` that are kept: pages are filled on first touch, in any order. */
const CACHED_BLOCKS = 4;

/** `data`: the bytes of all memory writes, one after the other, with random access. */
export class RawData {
  /** Most recently used first. */
  readonly #cache: { index: number; start: number; bytes: Uint8Array }[] = [];
  /** Position of the last read of a write with holes, so that sequential reads do not search from the first hole. */
  #holes: number[] | null = null;
  #hole = 0;
  #holeBytesBefore = 0;

  constructor(readonly blocks: BlockFile) {}

  /** The stream contains the byte before `end`. */
  covers(end: number): boolean {
    return end <= this.blocks.indexedEnd || this.blocks.covers(end);
  }

  /**
   * Bytes [offset, offset + into.length) of what the write stores, holes as zeros.
   * Errors: E_TRACE_CORRUPT when a block cannot be decompressed.
   */
  readWrite(write: MemWrite, offset: number, into: Uint8Array): void {
    const end = offset + into.length;
    invariant(
      offset >= 0 && end <= write.size,
      `read of [${offset}, ${end}) in a write of ${write.size} bytes`,
    );
    if (write.holes.length === 0) return this.#read(write.dataOffset + offset, into);
    this.#seekHole(write.holes, offset);
    const { holes } = write;
    let hole = this.#hole;
    let before = this.#holeBytesBefore;
    let at = offset;
    while (at < end) {
      const holeStart = hole < holes.length ? holes[hole] : write.size;
      if (at < holeStart) {
        const stop = Math.min(holeStart, end);
        this.#read(write.dataOffset + at - before, into.subarray(at - offset, stop - offset));
        at = stop;
        continue;
      }
      const holeEnd = holeStart + holes[hole + 1];
      const stop = Math.min(holeEnd, end);
      into.fill(0, at - offset, stop - offset);
      at = stop;
      if (stop < holeEnd) break;
      before += holes[hole + 1];
      hole += 2;
    }
    this.#hole = hole;
    this.#holeBytesBefore = before;
  }

  /** Bytes from `offset` of the write to the end of the hole there; 0 if there is none. */
  holeAt({ holes }: MemWrite, offset: number): number {
    if (holes.length === 0) return 0;
    this.#seekHole(holes, offset);
    const hole = this.#hole;
    if (hole >= holes.length || holes[hole] > offset) return 0;
    return holes[hole] + holes[hole + 1] - offset;
  }

  close(): void {
    this.#cache.length = 0;
    this.blocks.close();
  }

  /** Moves the cursor to the first hole that ends after `offset`. */
  #seekHole(holes: number[], offset: number): void {
    const started =
      this.#holes === holes && (this.#hole === 0 || holes[this.#hole - 2] + holes[this.#hole - 1] <= offset);
    if (!started) {
      this.#holes = holes;
      this.#hole = 0;
      this.#holeBytesBefore = 0;
    }
    while (this.#hole < holes.length && holes[this.#hole] + holes[this.#hole + 1] <= offset) {
      this.#holeBytesBefore += holes[this.#hole + 1];
      this.#hole += 2;
    }
  }

  #read(position: number, into: Uint8Array): void {
    let done = 0;
    while (done < into.length) {
      const block = this.#block(position + done);
      const from = position + done - block.start;
      const count = Math.min(into.length - done, block.bytes.length - from);
      into.set(block.bytes.subarray(from, from + count), done);
      done += count;
    }
  }

  #block(position: number): { start: number; bytes: Uint8Array } {
    const cache = this.#cache;
    for (let i = 0; i < cache.length; i++) {
      const entry = cache[i];
      if (position < entry.start || position >= entry.start + entry.bytes.length) continue;
      if (i > 0) cache.unshift(...cache.splice(i, 1));
      return entry;
    }
    if (!this.covers(position + 1)) {
      throw corrupt(
        this.blocks.source.path,
        `the stream ends at byte ${this.blocks.indexedEnd}, byte ${position} is needed`,
      );
    }
    const index = this.blocks.find(position);
    const entry = { index, start: this.blocks.start(index), bytes: this.blocks.load(index) };
    if (cache.length === CACHED_BLOCKS) cache.pop();
    cache.unshift(entry);
    return entry;
  }
}
