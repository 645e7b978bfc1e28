import { brotliDecompressSync } from 'node:zlib';
import { MessageStream } from '../../src/engine/trace/messages.js';
import { pack, streamFile } from './message-builder.js';

/** Damage of all kinds, from a seed. */

export type Random = (below: number) => number;

/** mulberry32: small, fast, good enough; the same numbers for the same seed everywhere. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Change = (bytes: Buffer, random: Random) => Buffer;

const at = (bytes: Buffer, random: Random): number => random(bytes.length + 1);

export const changes: Record<string, Change> = {
  truncate: (bytes, random) => bytes.subarray(0, at(bytes, random)),
  flip: (bytes, random) => {
    for (let n = 1 + random(8); n > 0 && bytes.length > 0; n--) bytes[random(bytes.length)] ^= 1 << random(8);
    return bytes;
  },
  set: (bytes, random) => {
    for (let n = 1 + random(4); n > 0 && bytes.length > 0; n--)
      bytes[random(bytes.length)] = [0, 0xff, 0x7f, 0x80][random(4)];
    return bytes;
  },
  remove: (bytes, random) => {
    const from = at(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random(64))]);
  },
  insert: (bytes, random) => {
    const from = at(bytes, random);
    const more = Buffer.from(Array.from({ length: 1 + random(64) }, () => random(256)));
    return Buffer.concat([bytes.subarray(0, from), more, bytes.subarray(from)]);
  },
  repeat: (bytes, random) => {
    const from = at(bytes, random);
    const piece = bytes.subarray(from, from + 1 + random(4096));
    return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(from)]);
  },
};

/** Decompresses a whole, healthy stream file. */
export function decompressed(file: Buffer): Buffer {
  const blocks: Buffer[] = [];
  for (let from = 0; from < file.length;) {
    const length = file.readUInt32LE(from);
    blocks.push(brotliDecompressSync(file.subarray(from + 8, from + 8 + length)));
    from += 8 + length;
  }
  return Buffer.concat(blocks);
}

/** The unpacked messages of a healthy stream. */
export function messagesOf(stream: Buffer): Buffer[] {
  const chunks = [stream];
  const messages = new MessageStream(
    { next: () => chunks.shift() ?? null, describe: () => 'test' },
    'message',
  );
  const all: Buffer[] = [];
  while (messages.next()) {
    const { message } = messages;
    all.push(Buffer.from(message.bytes.subarray(0, message.segmentEnd[message.segmentCount - 1] * 4)));
  }
  return all;
}

/** Overwrites words of one message, mostly with plausible pointers, counts and sizes. */
export function changeWords(messages: Buffer[], random: Random): Buffer {
  const copy = messages.map((message) => Buffer.from(message));
  const victim = copy[random(copy.length)];
  for (let n = 1 + random(3); n > 0; n--) {
    const word = 8 * (1 + random(victim.length / 8 - 1));
    const half = word + 4 * random(2);
    const old = victim.readUInt32LE(half);
    const values = [
      random(2 ** 32),
      0xffff_ffff,
      0x7fff_ffff,
      old ^ (1 << random(32)),
      old + random(16),
      old & ~3,
      0,
    ];
    victim.writeUInt32LE((values[random(values.length)] + 2 ** 32) % 2 ** 32, half);
  }
  return Buffer.concat(copy.map(pack));
}

export const recompressed = (bytes: Buffer, random: Random): Buffer =>
  streamFile(bytes, random(4) === 0 ? 1 + random(4096) : 1 << 20);
