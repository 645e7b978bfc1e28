import { invariant } from '../base/errors.js';
import { MAX_SEGMENTS, Message } from './capnp.js';
import type { BlockFile } from './chunk.js';
import { corrupt } from './corrupt.js';

/**
 * Packed, stream-framed Cap'n Proto messages out of a sequence of byte chunks. Messages follow each
 * other without separators and straddle chunks; the length of a message is known only after its segment table was
 * unpacked.
 */

/** A source of bytes: the blocks of a stream file, or a whole file. */
export interface ByteChunks {
  /** The next chunk, never empty, or null at the end. */
  next(): Uint8Array | null;
  /** Names file and chunk, for messages. */
  describe(): string;
  /** Index of the chunk that `next` returns next; may be set where chunks can be read again. */
  index?: number;
}

/** A position in a stream of messages. Plain data. */
export interface MessagePosition {
  /** Index of the chunk, -1 before the first, and offset in it. */
  chunk: number;
  offset: number;
  ordinal: number;
}

/** Largest message that is read, unpacked. rr's largest are lists of writes, well below a megabyte. */
export const MAX_MESSAGE_BYTES = 64 << 20;
const MAX_MESSAGE_WORDS = MAX_MESSAGE_BYTES / 8;
/** Words that one tag byte can produce: its own and a run of 255. */
const MAX_RUN_WORDS = 256;
/** Packed bytes that each tag takes, its own included, before a run. */
const TAGGED_BYTES = Uint8Array.from({ length: 256 }, (_, tag) => {
  let bytes = 1;
  for (let bit = 0; bit < 8; bit++) bytes += (tag >> bit) & 1;
  return bytes;
});
/** Packed bytes that one tag can take before a run of literal words: tag, 8 bytes, count. */
const MAX_TAG_BYTES = 10;

const NO_BYTES = new Uint8Array(0);

/** Thrown inside and caught by next(): the stream of an incomplete trace ends inside a message. */
class CutOff extends Error {}

export const newMessagePosition = (): MessagePosition => ({ chunk: -1, offset: 0, ordinal: 0 });

export class MessageStream {
  readonly message: Message;
  #input: Uint8Array = NO_BYTES;
  #position = 0;
  #ordinal = 0;
  #capacityWords = 0;
  #ended = false;

  /**
   * @param unit The name of a message in error messages: 'frame', 'record', 'event'. @param
   * tolerant The stream may end inside a message: it then ends before it.
   */
  constructor(
    readonly chunks: ByteChunks,
    readonly unit: string,
    readonly tolerant = false,
  ) {
    this.message = new Message((reason) => this.fail(reason));
    this.#grow(MAX_RUN_WORDS);
  }

  /** The messages of a stream file. */
  static of(blocks: BlockFile, unit: string): MessageStream {
    const chunks = {
      index: 0,
      next: () => (blocks.has(chunks.index) ? blocks.load(chunks.index++) : null),
      describe: () => blocks.describe(chunks.index - 1),
    };
    return new MessageStream(chunks, unit, blocks.tolerant);
  }

  /** Number of messages read; the ordinal, from 1, of the current one. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** Bytes of the current chunk that no message has used yet. */
  get unread(): number {
    return this.#input.length - this.#position;
  }

  /** Throws E_TRACE_CORRUPT with file, place and message. */
  fail(reason: string): never {
    const where = `${this.chunks.describe()}, decompressed byte ${this.#position}, ${this.unit} ${this.#ordinal}`;
    throw corrupt(where, reason);
  }

  /** Where the next message starts, into `into`, which is returned. */
  save(into: MessagePosition): MessagePosition {
    into.chunk = (this.chunks.index ?? 0) - 1;
    into.offset = this.#position;
    into.ordinal = this.#ordinal;
    return into;
  }

  /** Goes back to a position of the same stream. Errors: E_TRACE_CORRUPT, if the file has changed. */
  restore(position: Readonly<MessagePosition>): void {
    invariant(this.chunks.index !== undefined, 'a stream that can go back');
    this.#ended = false;
    this.#ordinal = position.ordinal;
    this.#input = NO_BYTES;
    this.#position = 0;
    this.chunks.index = Math.max(0, position.chunk);
    if (position.chunk < 0) return;
    this.#refill();
    this.#position = Math.min(position.offset, this.#input.length);
  }

  /** Unpacks the next message into `message`; false at the end of the stream. */
  next(): boolean {
    return this.#advance(0, null);
  }

  /**
   * Goes to the next message, and unpacks it if `wanted`, which sees the segment table and the `lead` words behind it;
   * else nothing else of the message is valid. False at the end of the stream.
   */
  nextOrSkip(lead: number, wanted: () => boolean): boolean {
    return this.#advance(lead, wanted);
  }

  #advance(lead: number, wanted: (() => boolean) | null): boolean {
    if (this.#ended || (this.#position === this.#input.length && !this.#refill())) return false;
    this.#ordinal++;
    try {
      const tableWords = this.#readTable();
      const total = this.message.budget;
      if (wanted === null) this.#unpack(tableWords, total, total);
      else {
        const at = this.#unpack(tableWords, Math.min(tableWords + lead, total), total);
        if (wanted()) this.#unpack(at, total, total);
        else this.#skip(at, total);
      }
      return true;
    } catch (error) {
      if (!(error instanceof CutOff)) throw error;
      this.#ordinal--;
      this.#ended = true;
      return false;
    }
  }

  /** Unpacks the segment table, and returns how many words it has. */
  #readTable(): number {
    this.#unpack(0, 1, 1);
    const segments = this.message.words[0] + 1;
    if (segments > MAX_SEGMENTS)
      this.fail(`the message announces ${segments} segments, at most ${MAX_SEGMENTS} are read`);
    const tableWords = (segments >> 1) + 1;
    if (tableWords > 1) this.#unpack(1, tableWords, tableWords);
    const { segmentStart, segmentEnd, words } = this.message;
    let total = tableWords;
    for (let i = 0; i < segments; i++) {
      segmentStart[i] = 2 * total;
      total += words[i + 1];
      if (total > MAX_MESSAGE_WORDS) this.fail(`the message is larger than ${MAX_MESSAGE_BYTES} bytes`);
      segmentEnd[i] = 2 * total;
    }
    this.message.segmentCount = segments;
    this.message.budget = total;
    return tableWords;
  }

  /**
   * Unpacks words from `from` on until all before `stop` are, and returns where it stopped. A run has to end
   * before `to`, as rr's reader requires.
   */
  #unpack(from: number, stop: number, to: number): number {
    const { message } = this;
    let input = this.#input;
    let position = this.#position;
    let safeEnd = input.length - MAX_TAG_BYTES;
    let words = message.words;
    let at = from;
    while (at < stop) {
      if (at + MAX_RUN_WORDS > this.#capacityWords) {
        this.#grow(at + MAX_RUN_WORDS);
        words = message.words;
      }
      if (position > safeEnd) {
        this.#position = position;
        at += this.#unpackAcrossChunks(at, to);
        input = this.#input;
        position = this.#position;
        safeEnd = input.length - MAX_TAG_BYTES;
        continue;
      }
      const tag = input[position++];
      let low = 0;
      let high = 0;
      if (tag & 0x01) low = input[position++];
      if (tag & 0x02) low |= input[position++] << 8;
      if (tag & 0x04) low |= input[position++] << 16;
      if (tag & 0x08) low |= input[position++] << 24;
      if (tag & 0x10) high = input[position++];
      if (tag & 0x20) high |= input[position++] << 8;
      if (tag & 0x40) high |= input[position++] << 16;
      if (tag & 0x80) high |= input[position++] << 24;
      words[2 * at] = low;
      words[2 * at + 1] = high;
      at++;
      if (tag !== 0 && tag !== 0xff) continue;
      const run = input[position++];
      if (run === 0) continue;
      if (at + run > to) this.#runTooLong();
      if (tag === 0) words.fill(0, 2 * at, 2 * (at + run));
      else {
        this.#position = position;
        this.#copyRun(8 * at, 8 * run);
        input = this.#input;
        position = this.#position;
        safeEnd = input.length - MAX_TAG_BYTES;
      }
      at += run;
    }
    this.#position = position;
    return at;
  }

  /** Goes past the words [from, to) of the message. */
  #skip(from: number, to: number): void {
    let input = this.#input;
    let position = this.#position;
    for (let at = from; at < to;) {
      if (position > input.length - MAX_TAG_BYTES) {
        this.#position = position;
        // What it unpacks to the beginning of the message is not valid any more.
        at += this.#unpackAcrossChunks(0, to - at);
        input = this.#input;
        position = this.#position;
        continue;
      }
      const tag = input[position];
      position += TAGGED_BYTES[tag];
      at++;
      if (tag !== 0 && tag !== 0xff) continue;
      const run = input[position++];
      at += run;
      if (at > to) this.#runTooLong();
      if (tag !== 0) position += 8 * run;
      while (position > input.length) {
        position -= input.length;
        this.#refillInside();
        input = this.#input;
      }
    }
    this.#position = position;
  }

  /** Unpacks the words of one tag whose bytes may lie in two chunks. Returns how many words it produced. */
  #unpackAcrossChunks(at: number, to: number): number {
    const { bytes } = this.message;
    const tag = this.#byte();
    for (let i = 0; i < 8; i++) bytes[8 * at + i] = (tag >> i) & 1 ? this.#byte() : 0;
    if (tag !== 0 && tag !== 0xff) return 1;
    const run = this.#byte();
    if (at + 1 + run > to) this.#runTooLong();
    if (tag === 0) bytes.fill(0, 8 * (at + 1), 8 * (at + 1 + run));
    else this.#copyRun(8 * (at + 1), 8 * run);
    return 1 + run;
  }

  /** Copies `length` literal bytes of the input to byte `at` of the message. */
  #copyRun(at: number, length: number): void {
    const { bytes } = this.message;
    while (length > 0) {
      if (this.#position === this.#input.length) this.#refillInside();
      const count = Math.min(length, this.#input.length - this.#position);
      bytes.set(this.#input.subarray(this.#position, this.#position + count), at);
      this.#position += count;
      at += count;
      length -= count;
    }
  }

  #byte(): number {
    if (this.#position === this.#input.length) this.#refillInside();
    return this.#input[this.#position++];
  }

  #refill(): boolean {
    const chunk = this.chunks.next();
    if (chunk === null) return false;
    this.#input = chunk;
    this.#position = 0;
    return true;
  }

  #refillInside(): void {
    if (this.#refill()) return;
    if (this.tolerant) throw new CutOff();
    this.fail(`the stream ends inside the ${this.unit}`);
  }

  #runTooLong(): never {
    this.fail('a packed run extends beyond its message');
  }

  /** Grows the buffer as words arrive, not by the announced size. */
  #grow(words: number): void {
    this.#capacityWords = Math.max(words, 2 * this.#capacityWords);
    const bytes = new Uint8Array(this.#capacityWords * 8);
    bytes.set(this.message.bytes);
    this.message.bytes = bytes;
    this.message.words = new Uint32Array(bytes.buffer);
    this.message.doubles = new Float64Array(bytes.buffer);
  }
}
