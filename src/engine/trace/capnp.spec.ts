import { describe, expect, it } from 'vitest';
import { framed, MessageBuilder, pack } from '../../../test/trace/message-builder.js';
import type { Message } from './capnp.js';
import { Elements, ListRef, StructRef } from './capnp.js';
import { MessageStream } from './messages.js';

/** The message of these segments, each given as 64-bit words [low, high]. */
function message(...segments: (Uint8Array | [number, number][])[]): Message {
  const bytes = segments.map((words) =>
    words instanceof Uint8Array ? words : new Uint8Array(new Uint32Array(words.flat()).buffer),
  );
  const chunks = [pack(framed(...bytes))];
  const stream = new MessageStream({ next: () => chunks.shift() ?? null, describe: () => 'test' }, 'frame');
  stream.next();
  return stream.message;
}

const STRUCT = (offset: number, data: number, pointers: number): [number, number] => [
  (offset << 2) >>> 0,
  data | (pointers << 16),
];
const LIST = (offset: number, code: number, size: number): [number, number] => [
  ((offset << 2) | 1) >>> 0,
  (size << 3) | code,
];
const FAR = (segment: number, word: number, double = false): [number, number] => [
  ((word << 3) | (double ? 4 : 0) | 2) >>> 0,
  segment,
];

function rootOf(from: Message): StructRef {
  const ref = new StructRef();
  from.root(ref);
  return ref;
}

describe('structs', () => {
  it('give the default beyond their end and for null pointers', () => {
    const short = message([STRUCT(0, 1, 0), [7, 9]]);
    const root = rootOf(short);
    expect([short.u32(root, 0), short.u32(root, 4), short.u32(root, 8), short.u16(root, 64)]).toEqual([
      7, 9, 0, 0,
    ]);
    expect(short.bit(root, 0)).toBe(true);
    expect([short.bit(root, 64), short.f64(root, 8), short.u64(root, 40)]).toEqual([false, 0, 0n]);
    const child = new StructRef();
    expect(short.struct(root, 0, child)).toBe(false);
    expect(short.u32(child, 0)).toBe(0);
    const list = new ListRef();
    short.list(root, 3, Elements.bytes, list);
    expect(list.count).toBe(0);
  });

  it('read 16-bit, signed, floating and 64-bit fields', () => {
    const builder = new MessageBuilder();
    const made = builder.root(4, 0).u16(2, 0xbeef).i32(4, -5).f64(8, 2839.234752).u64(16, -3n);
    made.u64(24, 1n << 60n);
    const read = message(builder.segment());
    const root = rootOf(read);
    expect([read.u16(root, 2), read.i32(root, 4), read.f64(root, 8)]).toEqual([0xbeef, -5, 2839.234752]);
    expect(read.u64(root, 16)).toBe(2n ** 64n - 3n);
    expect(read.int64(root, 16, 'x')).toBe(-3);
    expect(() => read.uint53(root, 16, 'x')).toThrow(/x is 18446744073709551613, out of range/);
    expect(() => read.int64(root, 24, 'y')).toThrow(/y is 1152921504606846976, out of range/);
  });

  it('are found through far pointers, single and double', () => {
    const single = message([FAR(1, 1)], [[0, 0], STRUCT(0, 1, 0), [42, 0]]);
    expect(single.u32(rootOf(single), 0)).toBe(42);
    // Segment 1 holds the pad (far pointer to the object, tag), segment 2 the object.
    const double = message(
      [FAR(1, 0, true)],
      [FAR(2, 1), STRUCT(0, 1, 0)],
      [
        [0, 0],
        [43, 0],
      ],
    );
    expect(double.u32(rootOf(double), 0)).toBe(43);
  });

  it.each<[string, [number, number][][], RegExp]>([
    ['no word at all', [[]], /no root/],
    ['a null root', [[[0, 0]]], /no root/],
    ['a target after the segment', [[STRUCT(0, 2, 0), [1, 1]]], /points outside of its segment/],
    ['a target before the segment', [[STRUCT(-5, 1, 0), [1, 1]]], /points outside of its segment/],
    ['a list in place of a struct', [[LIST(0, 2, 8), [1, 1]]], /does not refer to a struct/],
    ['a far pointer to a missing segment', [[FAR(7, 0)]], /segment 7 of 1/],
    ['a far pointer past its segment', [[FAR(0, 1)]], /far pointer points outside/],
    ['a far pointer to itself', [[FAR(0, 0)]], /another far pointer/],
    [
      'a double far pointer to nothing far',
      [[FAR(1, 0, true)], [STRUCT(0, 1, 0), [1, 1]]],
      /does not refer to a far/,
    ],
    [
      'a double far pointer with a far tag',
      [[FAR(1, 0, true)], [FAR(0, 0), FAR(0, 0)]],
      /tag .* is a far pointer/,
    ],
  ])('are refused with %s', (_name, segments, problem) => {
    expect(() => rootOf(message(...segments))).toThrow(problem);
  });
});

describe('lists', () => {
  const list = new ListRef();
  const read = (words: [number, number][], elements: number): ListRef => {
    const from = message([STRUCT(0, 0, 1), ...words]);
    from.list(rootOf(from), 0, elements, list);
    return list;
  };

  it('of structs may have shorter elements than the schema', () => {
    const from = message([STRUCT(0, 0, 1), LIST(0, 7, 2), [2 << 2, 1], [5, 0], [6, 0]]);
    const element = new StructRef();
    from.list(rootOf(from), 0, Elements.structs, list);
    const values = [0, 1].map((i) => {
      from.element(list, i, element);
      return [from.u32(element, 0), from.u32(element, 8)];
    });
    expect(values).toEqual([
      [5, 0],
      [6, 0],
    ]);
  });

  it.each<[string, [number, number][], number, RegExp]>([
    ['bytes beyond the segment', [LIST(0, 2, 9), [0, 0]], Elements.bytes, /points outside/],
    ['2^29 pointers', [LIST(0, 6, 0x1fff_ffff), [0, 0]], Elements.pointers, /points outside/],
    ['elements of another size', [LIST(0, 3, 2), [0, 0]], Elements.bytes, /size code 3, not 2/],
    ['a struct in place of a list', [STRUCT(0, 1, 0), [0, 0]], Elements.bytes, /does not refer to a list/],
    [
      'more elements than room',
      [LIST(0, 7, 2), [3 << 2, 1], [0, 0], [0, 0]],
      Elements.structs,
      /more elements than room/,
    ],
    ['2^29 empty elements', [LIST(0, 7, 0), [0x7fff_fffc, 0]], Elements.structs, /more elements than room/],
    ['a tag that is not a struct', [LIST(0, 7, 1), [1, 1], [0, 0]], Elements.structs, /tag of a list/],
  ])('are refused with %s', (_name, words, elements, problem) => {
    expect(() => read(words, elements)).toThrow(problem);
  });

  it('may not share what they hold: a few words would unfold to many', () => {
    const from = message([STRUCT(0, 0, 2), LIST(1, 2, 80), LIST(0, 2, 80), ...new Array(10).fill([1, 1])]);
    const root = rootOf(from);
    from.list(root, 0, Elements.bytes, list);
    expect(() => from.list(root, 1, Elements.bytes, list)).toThrow(/pointers overlap/);
  });
});
