/**
 * Makes Cap'n Proto messages and streams for tests: plain, slow, and sharing nothing with the reader
 * under test.
 */
import { brotliCompressSync, constants } from 'node:zlib';

/** A struct under construction; offsets are those of the schema, in bytes or bits of its data section. */
export class StructBuilder {
  constructor(
    readonly message: MessageBuilder,
    readonly data: number,
    readonly dataWords: number,
  ) {}

  u16(at: number, value: number): this {
    this.message.view.setUint16(this.data * 8 + at, value, true);
    return this;
  }

  i32(at: number, value: number): this {
    this.message.view.setInt32(this.data * 8 + at, value, true);
    return this;
  }

  u64(at: number, value: bigint | number): this {
    this.message.view.setBigUint64(this.data * 8 + at, BigInt.asUintN(64, BigInt(value)), true);
    return this;
  }

  f64(at: number, value: number): this {
    this.message.view.setFloat64(this.data * 8 + at, value, true);
    return this;
  }

  bit(bit: number): this {
    const at = this.data * 8 + (bit >> 3);
    this.message.view.setUint8(at, this.message.view.getUint8(at) | (1 << (bit & 7)));
    return this;
  }

  struct(pointer: number, dataWords: number, pointers: number): StructBuilder {
    return this.message.structAt(this.#pointer(pointer), dataWords, pointers);
  }

  bytes(pointer: number, bytes: Uint8Array | string): this {
    this.message.bytesAt(this.#pointer(pointer), bytes);
    return this;
  }

  int32s(pointer: number, values: number[]): this {
    const at = this.message.allocate(Math.ceil(values.length / 2));
    this.message.point(this.#pointer(pointer), 1, at, (values.length << 3) | 4);
    values.forEach((value, i) => this.message.view.setInt32(at * 8 + 4 * i, value, true));
    return this;
  }

  texts(pointer: number, values: string[]): this {
    const at = this.message.allocate(values.length);
    this.message.point(this.#pointer(pointer), 1, at, (values.length << 3) | 6);
    values.forEach((value, i) => this.message.bytesAt(at + i, value));
    return this;
  }

  structs(pointer: number, count: number, dataWords: number, pointers: number): StructBuilder[] {
    const step = dataWords + pointers;
    const tag = this.message.allocate(1 + count * step);
    this.message.point(this.#pointer(pointer), 1, tag, ((count * step) << 3) | 7);
    this.message.view.setUint32(tag * 8, count << 2, true);
    this.message.view.setUint32(tag * 8 + 4, dataWords | (pointers << 16), true);
    return Array.from(
      { length: count },
      (_, i) => new StructBuilder(this.message, tag + 1 + i * step, dataWords),
    );
  }

  #pointer(index: number): number {
    return this.data + this.dataWords + index;
  }
}

/** One message of one segment, whose first word is the root pointer. */
export class MessageBuilder {
  view = new DataView(new ArrayBuffer(1 << 14));
  #words = 1;

  root(dataWords: number, pointers: number): StructBuilder {
    return this.structAt(0, dataWords, pointers);
  }

  allocate(words: number): number {
    const at = this.#words;
    this.#words += words;
    return at;
  }

  point(pointer: number, kind: number, target: number, high: number): void {
    this.view.setInt32(pointer * 8, ((target - pointer - 1) << 2) | kind, true);
    this.view.setUint32(pointer * 8 + 4, high, true);
  }

  structAt(pointer: number, dataWords: number, pointers: number): StructBuilder {
    const at = this.allocate(dataWords + pointers);
    this.point(pointer, 0, at, dataWords | (pointers << 16));
    return new StructBuilder(this, at, dataWords);
  }

  bytesAt(pointer: number, bytes: Uint8Array | string): void {
    const source = Buffer.from(bytes as string);
    const at = this.allocate(Math.ceil(source.length / 8));
    this.point(pointer, 1, at, (source.length << 3) | 2);
    new Uint8Array(this.view.buffer).set(source, at * 8);
  }

  segment(): Uint8Array {
    return new Uint8Array(this.view.buffer.slice(0, this.#words * 8));
  }

  /** Framed and packed. */
  packed(): Uint8Array {
    return pack(framed(this.segment()));
  }
}

/** Segment table and segments. */
export function framed(...segments: Uint8Array[]): Uint8Array {
  const table = new Uint32Array(2 * ((segments.length >> 1) + 1));
  table[0] = segments.length - 1;
  segments.forEach((segment, i) => (table[i + 1] = segment.length / 8));
  return Buffer.concat([new Uint8Array(table.buffer), ...segments]);
}

/** The packed encoding of a framed message. Table and segments are packed on their own, as writers do. */
export function pack(message: Uint8Array): Uint8Array {
  const tableBytes = 8 * ((new DataView(message.buffer, message.byteOffset).getUint32(0, true) + 3) >> 1);
  return Buffer.concat([packWords(message.subarray(0, tableBytes)), packWords(message.subarray(tableBytes))]);
}

function packWords(bytes: Uint8Array): Uint8Array {
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const word = [...bytes.subarray(at, at + 8)];
    out.push(word.reduce((tag, byte, i) => tag | (byte === 0 ? 0 : 1 << i), 0));
    out.push(...word.filter((byte) => byte !== 0));
    if (word.every((byte) => byte === 0)) {
      let run = 0;
      while (
        run < 255 &&
        at + 16 <= bytes.length &&
        bytes.subarray(at + 8, at + 16).every((byte) => byte === 0)
      ) {
        run++;
        at += 8;
      }
      out.push(run);
    } else if (word.every((byte) => byte !== 0)) {
      out.push(0);
    }
  }
  return Uint8Array.from(out);
}

/** A stream file: blocks of at most `blockBytes`, compressed. */
export function streamFile(bytes: Uint8Array, blockBytes = 1 << 20): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_LGWIN]: 18 };
    const compressed = brotliCompressSync(block, { params });
    const header = Buffer.alloc(8);
    header.writeUInt32LE(compressed.length, 0);
    header.writeUInt32LE(block.length, 4);
    blocks.push(header, compressed);
  }
  return Buffer.concat(blocks);
}
