import { describe, expect, it } from 'vitest';
import { framed, MessageBuilder, pack } from '../../../test/trace/message-builder.js';
import { MessageStream } from './messages.js';

/** A stream that arrives in pieces of `size` bytes. */
function streamOf(bytes: Uint8Array, size = bytes.length, tolerant = false): MessageStream {
  let at = 0;
  const next = (): Uint8Array | null => (at >= bytes.length ? null : bytes.subarray(at, (at += size)));
  return new MessageStream({ next, describe: () => 'here' }, 'frame', tolerant);
}

const unpacked = (stream: MessageStream): number[] => [
  ...stream.message.bytes.subarray(0, 4 * stream.message.segmentEnd[stream.message.segmentCount - 1]),
];

const literal = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => 1 + (i % 255));

describe('MessageStream', () => {
  it("unpacks the words of the encoding's definition", () => {
    // One segment of 8 words: 08 00 00 00 03 00 02 00, 19 00 00 00 aa 01 00 00, zeros, literals.
    const words = [0x08, 0, 0, 0, 3, 0, 2, 0, 0x19, 0, 0, 0, 0xaa, 1, 0, 0];
    const message = [...words, ...new Array(32).fill(0), ...literal(16)];
    const packed = [
      0x10,
      8,
      0x51,
      8,
      3,
      2,
      0x31,
      0x19,
      0xaa,
      1,
      0,
      3,
      0xff,
      ...literal(8),
      1,
      ...literal(16).slice(8),
    ];
    const stream = streamOf(Uint8Array.from(packed));
    expect(stream.next()).toBe(true);
    expect(unpacked(stream)).toEqual([0, 0, 0, 0, 8, 0, 0, 0, ...message]);
    expect(stream.next()).toBe(false);
  });

  it.each([1, 2, 3, 7, 11, 64])('accepts chunks of %i bytes that end anywhere', (size) => {
    const first = framed(literal(8 * 300), new Uint8Array(8 * 600), literal(8));
    const second = framed(Uint8Array.from([1, 0, 2, 0, 0, 0, 0, 3]));
    const stream = streamOf(Buffer.concat([pack(first), pack(second)]), size);
    expect(stream.next()).toBe(true);
    expect(stream.message.segmentCount).toBe(3);
    expect(unpacked(stream)).toEqual([...first]);
    expect(stream.next()).toBe(true);
    expect(unpacked(stream)).toEqual([...second]);
    expect(stream.next()).toBe(false);
    expect(stream.ordinal).toBe(2);
  });

  it.each([1, 2, 3, 7, 11, 64, 1 << 20])('skips messages in chunks of %i bytes', (size) => {
    const skipped = framed(literal(8 * 300), new Uint8Array(8 * 600), literal(8));
    const mixed = framed(
      Uint8Array.from([
        1,
        0,
        2,
        0,
        0,
        0,
        0,
        3,
        ...literal(80),
        ...new Uint8Array(32),
        1,
        0,
        0,
        7,
        0,
        0,
        0,
        9,
      ]),
    );
    const messages = [skipped, mixed, skipped, mixed];
    const stream = streamOf(Buffer.concat(messages.map((message) => pack(message))), size);
    const heads: number[] = [];
    const lead = 2;
    const next = (wanted: boolean): boolean =>
      stream.nextOrSkip(lead, () => {
        const start = 4 * stream.message.segmentStart[0];
        heads.push(...stream.message.bytes.subarray(0, start + 8 * lead));
        return wanted;
      });
    expect(next(false)).toBe(true);
    expect(next(true)).toBe(true);
    expect(unpacked(stream)).toEqual([...mixed]);
    expect(next(true)).toBe(true);
    expect(unpacked(stream)).toEqual([...skipped]);
    expect(next(false)).toBe(true);
    expect(next(false)).toBe(false);
    expect(heads).toEqual(
      [skipped, mixed, skipped, mixed].flatMap((message) => [
        ...message.subarray(0, message === mixed ? 24 : 32),
      ]),
    );
    expect(stream.ordinal).toBe(4);
  });

  it('refuses to skip what does not end with its message', () => {
    const skip = (bytes: Uint8Array, size?: number): boolean =>
      streamOf(bytes, size).nextOrSkip(2, () => false);
    const cut = pack(framed(literal(64)));
    for (const length of [1, 2, 3, 20, cut.length - 1]) {
      expect(() => skip(cut.subarray(0, length))).toThrow(/the stream ends inside the frame/);
      expect(() => skip(cut.subarray(0, length), 1)).toThrow(/the stream ends inside the frame/);
    }
    // Three words announced; behind the first, a run of four zeros or of four literal words.
    for (const tag of [0, 0xff]) {
      const long = [0x10, 3, 1, 1, tag, ...literal(tag === 0 ? 0 : 8), 4, ...literal(64)];
      expect(() => skip(Uint8Array.from(long))).toThrow(/run extends beyond/);
    }
  });

  it('refuses what does not end with its message', () => {
    const cut = pack(framed(literal(64)));
    for (const length of [1, 2, 3, 20, cut.length - 1]) {
      expect(() => streamOf(cut.subarray(0, length)).next()).toThrow(
        /here.*frame 1: the stream ends inside the frame/,
      );
    }
    // One word announced, a run of three zeros.
    expect(() => streamOf(Uint8Array.from([0x10, 1, 0, 3])).next()).toThrow(/run extends beyond/);
  });

  it('ends before a truncated message, if tolerant', () => {
    const whole = pack(framed(literal(64)));
    const stream = streamOf(Buffer.concat([whole, whole.subarray(0, 30)]), 16, true);
    expect([stream.next(), stream.next(), stream.next()]).toEqual([true, false, false]);
    expect(stream.ordinal).toBe(1);
  });

  it('refuses implausible tables before it allocates for them', () => {
    const table = (low: number, high: number): Uint8Array =>
      pack(new Uint8Array(new Uint32Array([low, high]).buffer));
    expect(() => streamOf(table(512, 1)).next()).toThrow(/513 segments/);
    expect(() => streamOf(table(0xffff_ffff, 1)).next()).toThrow(/segments|ends inside/);
    expect(() => streamOf(table(0, 0x7fff_ffff)).next()).toThrow(/larger than 67108864 bytes/);
    const stream = streamOf(table(0, 1 << 23).subarray(0, 3));
    expect(() => stream.next()).toThrow();
    expect(stream.message.bytes.length).toBeLessThan(1 << 16);
  });

  it('grows its buffer with the message', () => {
    const builder = new MessageBuilder();
    builder.view = new DataView(new ArrayBuffer(1 << 20));
    builder.root(1, 1).bytes(0, literal(500_000));
    const stream = streamOf(builder.packed(), 1000);
    expect(stream.next()).toBe(true);
    expect(unpacked(stream)).toEqual([...framed(builder.segment())]);
  });
});
