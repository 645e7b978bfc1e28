import { brotliDecompressSync } from 'node:zlib';
import { corrupt } from './corrupt.js';
import type { FileSource } from './source.js';

/**
 * The block framing of the streams `events`, `mmaps`, `tasks` and `data`:
 *
 *   +0 u32 compressed bytes | +4 u32 bytes after decompression | +8 one Brotli stream
 *
 * repeated to the end of the file. (rr's schema has the two lengths the other way round; its writer
 * and every trace have the compressed length first.)
 */

const HEADER_BYTES = 8;
/** Largest block that rr writes, for any stream. */
export const MAX_BLOCK_BYTES = 1 << 20;
/** Brotli adds a few bytes to incompressible data; no real block comes near this. */
const MAX_COMPRESSED_BYTES = MAX_BLOCK_BYTES + (1 << 16);
const FIRST_INDEX_ENTRIES = 64;

/** One stream file, with an index of its blocks (16 bytes each) that is built as far as needed. */
export class BlockFile {
  /** File offset of each block's header; one more entry: where the next header is. */
  #offsets = new Float64Array(FIRST_INDEX_ENTRIES);
  /** Offset in the decompressed stream of each block; one more entry: the end of the last. */
  #starts = new Float64Array(FIRST_INDEX_ENTRIES);
  #count = 0;
  #ended = false;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerWords = new Uint32Array(this.#header.buffer);
  #compressed = new Uint8Array(1 << 16);

  /**
   * @param tolerant A file that ends inside a block ends before that block (the recorder was
   *   killed); otherwise that is an error.
   */
  constructor(
    readonly source: FileSource,
    readonly tolerant: boolean,
  ) {}

  /** Length of the decompressed stream as far as the index reaches. */
  get indexedEnd(): number {
    return this.#starts[this.#count];
  }

  /** Block `index` exists (reads its header if need be). */
  has(index: number): boolean {
    while (index >= this.#count && this.#indexNext());
    return index < this.#count;
  }

  /** Extends the index until it covers the decompressed byte before `end`; false if the stream ends first. */
  covers(end: number): boolean {
    while (end > this.#starts[this.#count] && this.#indexNext());
    return end <= this.#starts[this.#count];
  }

  /** Index of the block that holds decompressed byte `offset`. Precondition: covers(offset + 1). */
  find(offset: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Offset of block `index` in the decompressed stream. Precondition: has(index). */
  start(index: number): number {
    return this.#starts[index];
  }

  /** Decompresses block `index`. Precondition: has(index). The result is not kept here. */
  load(index: number): Uint8Array {
    const from = this.#offsets[index] + HEADER_BYTES;
    const length = this.#offsets[index + 1] - from;
    const expected = this.#starts[index + 1] - this.#starts[index];
    if (this.#compressed.length < length) this.#compressed = new Uint8Array(length);
    if (this.source.read(from, this.#compressed, length) < length)
      throw this.#error(index, 'the file became shorter');
    let bytes: Uint8Array;
    try {
      // One chunk a little larger than the block: without it zlib gathers 16 KiB pieces.
      const options = { maxOutputLength: expected, chunkSize: expected + 64 };
      bytes = brotliDecompressSync(this.#compressed.subarray(0, length), options);
    } catch (error) {
      const reason =
        (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
          ? `it has more than the ${expected} bytes that it declares`
          : (error as Error).message;
      throw this.#error(index, `cannot decompress it (${reason})`, error);
    }
    if (bytes.length !== expected)
      throw this.#error(index, `it declares ${expected} bytes and has ${bytes.length}`);
    return bytes;
  }

  /** The place of block `index`, for messages. */
  describe(index: number): string {
    return `${this.source.path}: block at byte ${this.#offsets[Math.max(0, Math.min(index, this.#count))]}`;
  }

  close(): void {
    this.source.close();
  }

  /** Reads the next header into the index; false at the end of the stream. */
  #indexNext(): boolean {
    if (this.#ended) return false;
    const at = this.#offsets[this.#count];
    const left = this.source.size - at;
    if (left === 0) return this.#end();
    if (left < HEADER_BYTES)
      return this.#cut(`the file ends inside a block header (${left} of ${HEADER_BYTES} bytes)`);
    if (this.source.read(at, this.#header, HEADER_BYTES) < HEADER_BYTES)
      throw this.#error(this.#count, 'the file became shorter');
    const [compressed, bytes] = this.#headerWords;
    if (bytes === 0 || bytes > MAX_BLOCK_BYTES || compressed === 0 || compressed > MAX_COMPRESSED_BYTES) {
      const reason = `implausible lengths in its header (${compressed} compressed, ${bytes} decompressed, at most ${MAX_BLOCK_BYTES})`;
      throw this.#error(this.#count, reason);
    }
    if (compressed > left - HEADER_BYTES) {
      return this.#cut(`the file ends inside it (${left - HEADER_BYTES} of ${compressed} bytes)`);
    }
    this.#append(at + HEADER_BYTES + compressed, this.#starts[this.#count] + bytes);
    return true;
  }

  #append(nextOffset: number, nextStart: number): void {
    if (this.#count + 2 > this.#offsets.length) {
      this.#offsets = grown(this.#offsets);
      this.#starts = grown(this.#starts);
    }
    this.#count++;
    this.#offsets[this.#count] = nextOffset;
    this.#starts[this.#count] = nextStart;
  }

  #cut(reason: string): false {
    if (!this.tolerant) throw this.#error(this.#count, reason);
    return this.#end();
  }

  #end(): false {
    this.#ended = true;
    return false;
  }

  #error(index: number, reason: string, cause?: unknown): Error {
    return corrupt(this.describe(index), reason, cause);
  }
}

function grown(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
