/**
 * A reader of Cap'n Proto messages over typed arrays (https://capnproto.org/encoding.html).
 *
 * Why not a library: capnp-es 0.0.16, the maintained one for TypeScript, allocates objects for each message,
 * struct, list and 64-bit integer. Decoding the 80,114 frames of a trace of small system calls on one core,
 * it reads 60,000 frames a second from packed messages and 67,000 from unpacked ones, without
 * decompression and finding the messages. This reader with the frame decoder over it, on the same
 * machine, reads 730,000 a second in the first pass of a process and 1,400,000 once compiled,
 * decompression included. The target is 300,000.
 *
 * References are objects that the caller allocates once and the methods here refill. Each object of a
 * message may be visited once: the words of all objects visited are charged against the words the
 * message has, so that pointers that share a target (no writer makes them) cannot multiply work.
 */

/** A struct: where its data section and its pointer section are. Missing fields read as zero. */
export class StructRef {
  segment = 0;
  /** Index of the first 32-bit word of the data section in `Message.words`. */
  data = 0;
  dataBytes = 0;
  /** Index of the first 32-bit word of the pointer section. */
  pointers = 0;
  pointerCount = 0;
}

/** A list, with elements of `step` 32-bit words when they are structs. */
export class ListRef {
  segment = 0;
  /** Index of the first element's first 32-bit word. */
  start = 0;
  count = 0;
  step = 0;
  elementDataBytes = 0;
  elementPointers = 0;
}

const POINTER_STRUCT = 0;
const POINTER_LIST = 1;
const POINTER_FAR = 2;

const ELEMENT_BYTE = 2;
const ELEMENT_FOUR_BYTES = 4;
const ELEMENT_POINTER = 6;
const ELEMENT_COMPOSITE = 7;
/** Bits of an element by element size code; composite lists count words instead. */
const ELEMENT_BITS = [0, 1, 8, 16, 32, 64, 64, 0];

export const MAX_SEGMENTS = 512;

/** What a list's elements have to be; the codes of the encoding. */
export const Elements = {
  bytes: ELEMENT_BYTE,
  int32: ELEMENT_FOUR_BYTES,
  pointers: ELEMENT_POINTER,
  structs: ELEMENT_COMPOSITE,
} as const;

/** One unpacked message. Its buffer is owned and refilled by a MessageStream. */
export class Message {
  /** The unpacked message in three views of one buffer; the host is little endian as the format is. */
  bytes = new Uint8Array(0);
  words = new Uint32Array(0);
  doubles = new Float64Array(0);
  segmentCount = 0;
  /** Start and end of each segment, as indices into `words`. */
  readonly segmentStart = new Uint32Array(MAX_SEGMENTS);
  readonly segmentEnd = new Uint32Array(MAX_SEGMENTS);
  /** 64-bit words that may still be visited. */
  budget = 0;

  /** After follow(): the pointer itself (or its copy in a landing pad) and where its target is. */
  #low = 0;
  #high = 0;
  #target = 0;
  #segment = 0;

  /** @param fail Throws the error for a malformed message, with file and position. */
  constructor(readonly fail: (reason: string) => never) {}

  root(into: StructRef): void {
    if (this.segmentEnd[0] - this.segmentStart[0] < 2) this.fail('the message has no root');
    this.#follow(0, this.segmentStart[0]);
    if (!this.#readStruct(into)) this.fail('the message has no root');
  }

  /** Struct at pointer `index`; false (and no fields) when the pointer is null or past the struct. */
  struct(parent: StructRef, index: number, into: StructRef): boolean {
    if (index < parent.pointerCount) {
      this.#follow(parent.segment, parent.pointers + 2 * index);
      if (this.#readStruct(into)) return true;
    }
    into.dataBytes = 0;
    into.pointerCount = 0;
    return false;
  }

  /** List at pointer `index`; count 0 when the pointer is null or past the struct. */
  list(parent: StructRef, index: number, elements: number, into: ListRef): void {
    into.count = 0;
    if (index >= parent.pointerCount) return;
    this.#follow(parent.segment, parent.pointers + 2 * index);
    this.#readList(elements, into);
  }

  /** Element `index` of a list of structs. */
  element(list: ListRef, index: number, into: StructRef): void {
    into.segment = list.segment;
    into.data = list.start + index * list.step;
    into.dataBytes = list.elementDataBytes;
    into.pointers = into.data + list.elementDataBytes / 4;
    into.pointerCount = list.elementPointers;
  }

  /** Data that element `index` of a list of pointers points to, as a list of bytes. */
  elementData(list: ListRef, index: number, into: ListRef): void {
    into.count = 0;
    this.#follow(list.segment, list.start + 2 * index);
    this.#readList(ELEMENT_BYTE, into);
  }

  u32(ref: StructRef, at: number): number {
    return at < ref.dataBytes ? this.words[ref.data + (at >> 2)] : 0;
  }

  i32(ref: StructRef, at: number): number {
    return this.u32(ref, at) | 0;
  }

  u16(ref: StructRef, at: number): number {
    return (this.u32(ref, at) >>> ((at & 2) * 8)) & 0xffff;
  }

  bit(ref: StructRef, bit: number): boolean {
    return ((this.u32(ref, bit >> 3) >>> (bit & 31)) & 1) !== 0;
  }

  f64(ref: StructRef, at: number): number {
    return at < ref.dataBytes ? this.doubles[(ref.data >> 1) + (at >> 3)] : 0;
  }

  u64(ref: StructRef, at: number): bigint {
    return (BigInt(this.u32(ref, at + 4)) << 32n) | BigInt(this.u32(ref, at));
  }

  /** A signed 64-bit field as a number; `field` names it when it is beyond 2^53. */
  int64(ref: StructRef, at: number, field: string): number {
    const value = (this.u32(ref, at + 4) | 0) * 0x1_0000_0000 + this.u32(ref, at);
    if (!Number.isSafeInteger(value)) this.fail(`${field} is ${this.u64(ref, at)}, out of range`);
    return value;
  }

  /** A 64-bit field that has to be in [0, 2^53). */
  uint53(ref: StructRef, at: number, field: string): number {
    const value = this.u32(ref, at + 4) * 0x1_0000_0000 + this.u32(ref, at);
    if (!Number.isSafeInteger(value)) this.fail(`${field} is ${this.u64(ref, at)}, out of range`);
    return value;
  }

  /** A copy of the Data at pointer `index`; empty when null. */
  data(parent: StructRef, index: number, scratch: ListRef): Uint8Array {
    this.list(parent, index, ELEMENT_BYTE, scratch);
    return this.bytesOf(scratch).slice();
  }

  /** A view of the bytes of a list of bytes, valid until the next message. */
  bytesOf(list: ListRef): Uint8Array {
    return list.count === 0 ? EMPTY : this.bytes.subarray(list.start * 4, list.start * 4 + list.count);
  }

  /**
   * Reads the pointer at word index `at`, through far pointers, into #low, #high, #segment and
   * #target (the word index of the object, before its bounds are known). A null pointer has low and
   * high 0. Precondition: `at` is inside a segment.
   */
  #follow(segment: number, at: number): void {
    const low = this.words[at];
    this.#low = low;
    this.#high = this.words[at + 1];
    this.#segment = segment;
    if ((low & 3) === POINTER_FAR) this.#followFar();
    else this.#target = at + 2 + 2 * ((low | 0) >> 2);
  }

  #followFar(): void {
    const double = (this.#low & 4) !== 0;
    const pad = this.#padAt(this.#high, this.#low >>> 3, double ? 4 : 2);
    const segment = this.#high;
    const low = this.words[pad];
    if (!double) {
      this.#segment = segment;
      this.#low = low;
      this.#high = this.words[pad + 1];
      if ((low & 3) === POINTER_FAR) this.fail('a far pointer refers to another far pointer');
      this.#target = pad + 2 + 2 * ((low | 0) >> 2);
      return;
    }
    // Two words: a far pointer to the object itself, then a tag with its kind and size.
    if ((low & 7) !== POINTER_FAR) this.fail('a double-far pointer does not refer to a far pointer');
    this.#segment = this.words[pad + 1];
    this.#target = this.#padAt(this.#segment, low >>> 3, 0);
    this.#low = this.words[pad + 2];
    this.#high = this.words[pad + 3];
    if ((this.#low & 3) === POINTER_FAR) this.fail('the tag of a double-far pointer is a far pointer');
  }

  /** Word index of 64-bit word `offset` of a segment that has `length` 32-bit words there. */
  #padAt(segment: number, offset: number, length: number): number {
    if (segment >= this.segmentCount)
      this.fail(`a far pointer names segment ${segment} of ${this.segmentCount}`);
    const at = this.segmentStart[segment] + 2 * offset;
    if (at + length > this.segmentEnd[segment]) this.fail('a far pointer points outside of its segment');
    return at;
  }

  /** Checks that `length` 32-bit words at #target are inside the segment, and charges for them. */
  #claim(length: number, charge: number): void {
    const at = this.#target;
    if (at < this.segmentStart[this.#segment] || at + length > this.segmentEnd[this.#segment]) {
      this.fail('a pointer points outside of its segment');
    }
    this.budget -= charge;
    if (this.budget < 0) this.fail('pointers overlap');
  }

  #readStruct(into: StructRef): boolean {
    if (this.#low === 0 && this.#high === 0) return false;
    if ((this.#low & 3) !== POINTER_STRUCT) this.fail('a pointer does not refer to a struct');
    const dataWords = this.#high & 0xffff;
    const pointerCount = this.#high >>> 16;
    this.#claim(2 * (dataWords + pointerCount), dataWords + pointerCount);
    into.segment = this.#segment;
    into.data = this.#target;
    into.dataBytes = dataWords * 8;
    into.pointers = this.#target + 2 * dataWords;
    into.pointerCount = pointerCount;
    return true;
  }

  #readList(elements: number, into: ListRef): void {
    if (this.#low === 0 && this.#high === 0) return;
    if ((this.#low & 3) !== POINTER_LIST) this.fail('a pointer does not refer to a list');
    const code = this.#high & 7;
    if (code !== elements) this.fail(`a list has elements of size code ${code}, not ${elements}`);
    const size = this.#high >>> 3;
    if (code === ELEMENT_COMPOSITE) return this.#readComposite(size, into);
    const words = Math.ceil((size * ELEMENT_BITS[code]) / 64);
    this.#claim(2 * words, words);
    into.segment = this.#segment;
    into.start = this.#target;
    into.count = size;
  }

  #readComposite(words: number, into: ListRef): void {
    const tag = this.#target;
    this.#claim(2 * (words + 1), words + 1);
    const count = this.words[tag] >>> 2;
    if ((this.words[tag] & 3) !== POINTER_STRUCT) this.fail('the tag of a list of structs is not a struct');
    const dataWords = this.words[tag + 1] & 0xffff;
    const pointers = this.words[tag + 1] >>> 16;
    // Elements without content would let a few bytes announce 2^29 of them; no writer makes them.
    if (count * Math.max(dataWords + pointers, 1) > words)
      this.fail('a list of structs has more elements than room');
    into.segment = this.#segment;
    into.start = tag + 2;
    into.count = count;
    into.step = 2 * (dataWords + pointers);
    into.elementDataBytes = dataWords * 8;
    into.elementPointers = pointers;
  }
}

const EMPTY = new Uint8Array(0);
