/** SHA512, SM3 and SM4 (native/completion/newer.cc), against Node's hashes and ciphers. */
import { createCipheriv, createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  bytesFrom,
  execute,
  F2,
  F3,
  hex,
  isBuilt,
  joined,
  NO_SOURCE,
  NP,
  numbers,
  P66,
  vex,
  words,
  type Answer,
  type Words,
} from './instruction-lines.js';

/** What a vector register holds after instructions that begin with these registers. */
const vector = (answer: Answer, name: string, before: string): string =>
  answer.changed[name] ?? before.padEnd(128, '0');
/** The first `count` primes. */
const primes = (count: number): bigint[] => {
  const found: bigint[] = [];
  for (let n = 2n; found.length < count; n++) if (found.every((prime) => n % prime !== 0n)) found.push(n);
  return found;
};
/** 64 bits of the fraction of the root of degree 2 or 3. */
const fraction = (of: bigint, degree: bigint): bigint => {
  const target = of << (64n * degree);
  let root = 0n;
  for (let bit = 1n << 70n; bit > 0n; bit >>= 1n) if ((root + bit) ** degree <= target) root += bit;
  return BigInt.asUintN(64, root);
};

const rotated = (word: bigint, by: bigint): bigint =>
  BigInt.asUintN(32, (word << by) | (BigInt.asUintN(32, word) >> (32n - by)));

describe.skipIf(!isBuilt)('instructions in software', () => {
  it('SHA-512', () => {
    const message = Buffer.from('The quick brown fox jumps over the lazy dog, twice over.');
    const block = Buffer.alloc(128);
    message.copy(block);
    block[message.length] = 0x80;
    block.writeUInt32BE(8 * message.length, 124);
    const w = Array.from({ length: 16 }, (_, i) => block.readBigUInt64BE(8 * i));
    const ymm = (list: readonly bigint[]): string => joined(list, 8);
    const one = (registers: Words, opcode: number, operands: readonly [number, number, number]): string => {
      const [answer] = execute([{ ...registers, code: vex({ map: 2, pp: F2, l: 1, opcode }, operands) }]);
      expect(answer.verdict).toBe('done');
      return vector(answer, `zmm${operands[0]}`, registers[`zmm${operands[0]}`]);
    };
    for (let t = 16; t < 80; t += 4) {
      const first = one({ zmm1: ymm(w.slice(t - 16, t - 12)), zmm2: ymm(w.slice(t - 12, t - 8)) }, 0xcc, [
        1,
        NO_SOURCE,
        2,
      ]);
      // With W[t - 7] to W[t - 4].
      const sums = words(first, 8)
        .slice(0, 4)
        .map((word, i) => word + w[t - 7 + i]);
      const second = one({ zmm1: ymm(sums), zmm2: ymm(w.slice(t - 4, t)) }, 0xcd, [1, NO_SOURCE, 2]);
      expect(second.slice(64)).toBe('0'.repeat(64));
      w.push(...words(second, 8).slice(0, 4));
    }
    const [a, b, c, d, e, f, g, h] = primes(8).map((prime) => fraction(prime, 2n));
    let [abef, cdgh] = [ymm([f, e, b, a]), ymm([h, g, d, c])];
    primes(80).forEach((_prime, t, all) => {
      if (t % 2) return;
      const keys = [0, 1].map((i) => w[t + i] + fraction(all[t + i], 3n));
      const next = one({ zmm1: cdgh, zmm2: abef, zmm3: joined(keys, 8) }, 0xcb, [1, 2, 3]);
      [abef, cdgh] = [next.slice(0, 64), abef];
    });
    const [f1, e1, b1, a1] = words(abef, 8);
    const [h1, g1, d1, c1] = words(cdgh, 8);
    const sums = [a + a1, b + b1, c + c1, d + d1, e + e1, f + f1, g + g1, h + h1];
    const digest = sums.map((sum) => BigInt.asUintN(64, sum).toString(16).padStart(16, '0')).join('');
    expect(digest).toBe(createHash('sha512').update(message).digest('hex'));
  });

  it('SM3', () => {
    const message = Buffer.from('a message of less than a block');
    const block = Buffer.alloc(64);
    message.copy(block);
    block[message.length] = 0x80;
    block.writeUInt32BE(8 * message.length, 60);
    const w = Array.from({ length: 16 }, (_, i) => BigInt(block.readUInt32BE(4 * i)));
    const xmm = (list: readonly bigint[]): string => joined(list, 4);
    const one = (registers: Words, code: string): string => {
      const [answer] = execute([{ ...registers, code }]);
      expect(answer.verdict).toBe('done');
      return vector(answer, 'zmm1', registers.zmm1).slice(0, 32);
    };
    // As a program does it: four words of the message at a time (SDM, VSM3MSG1 and VSM3MSG2).
    for (let t = 16; t < 68; t += 4) {
      const first = one(
        {
          zmm1: xmm(w.slice(t - 9, t - 5)),
          zmm2: xmm(w.slice(t - 16, t - 12)),
          zmm3: xmm(w.slice(t - 3, t)),
        },
        vex({ map: 2, pp: NP, opcode: 0xda }, [1, 2, 3]),
      );
      const second = one(
        { zmm1: first, zmm2: xmm(w.slice(t - 13, t - 9)), zmm3: xmm(w.slice(t - 6, t - 2)) },
        vex({ map: 2, pp: P66, opcode: 0xda }, [1, 2, 3]),
      );
      w.push(...words(second, 4));
    }
    const start = [
      0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
    ];
    const [a, b, c, d, e, f, g, h] = start.map(BigInt);
    // C, D, G and H are kept before their rotations.
    let [abef, cdgh] = [
      xmm([f, e, b, a]),
      xmm([rotated(h, 13n), rotated(g, 13n), rotated(d, 23n), rotated(c, 23n)]),
    ];
    for (let t = 0; t < 64; t += 2) {
      const next = one(
        { zmm1: cdgh, zmm2: abef, zmm3: xmm([w[t], w[t + 1], w[t + 4], w[t + 5]]) },
        vex({ map: 3, pp: P66, opcode: 0xde }, [1, 2, 3], t),
      );
      [abef, cdgh] = [next, abef];
    }
    const [f1, e1, b1, a1] = words(abef, 4);
    const [h1, g1, d1, c1] = words(cdgh, 4);
    const ends = [a1, b1, rotated(c1, 9n), rotated(d1, 9n), e1, f1, rotated(g1, 19n), rotated(h1, 19n)];
    const digest = ends.map((word, i) => (word ^ BigInt(start[i])).toString(16).padStart(8, '0')).join('');
    expect(digest).toBe(createHash('sm3').update(message).digest('hex'));
  });

  it('SM4', () => {
    const next = numbers(4n);
    const [key, first, second] = [0, 1, 2].map(() => bytesFrom(next, 16));
    const bigEndian = (bytes: Buffer): bigint[] => [0, 1, 2, 3].map((i) => BigInt(bytes.readUInt32BE(4 * i)));
    const family = [0xa3b1bac6n, 0x56aa3350n, 0x677d9197n, 0xb27022dcn];
    let state = bigEndian(key).map((word, i) => word ^ family[i]);
    const keys: bigint[] = [];
    for (let i = 0; i < 32; i += 4) {
      const constants = [0, 1, 2, 3].map((j) =>
        [0, 1, 2, 3].reduce((sum, k) => (sum << 8n) | BigInt((7 * (4 * (i + j) + k)) & 255), 0n),
      );
      const [answer] = execute([
        {
          code: vex({ map: 2, pp: F3, opcode: 0xda }, [1, 2, 3]),
          ...{ zmm2: joined(state, 4), zmm3: joined(constants, 4) },
        },
      ]);
      state = words(answer.changed.zmm1, 4).slice(0, 4);
      keys.push(...state);
    }
    // Two blocks at once, a lane each.
    let lanes = [...bigEndian(first), ...bigEndian(second)];
    for (let i = 0; i < 32; i += 4) {
      const round = joined(keys.slice(i, i + 4), 4);
      const [answer] = execute([
        {
          code: vex({ map: 2, pp: F2, l: 1, opcode: 0xda }, [1, 2, 3]),
          ...{ zmm2: joined(lanes, 4), zmm3: round + round },
        },
      ]);
      lanes = words(answer.changed.zmm1, 4).slice(0, 8);
    }
    const text = [lanes.slice(0, 4), lanes.slice(4)]
      .flatMap((lane) => lane.reverse())
      .map((word) => word.toString(16).padStart(8, '0'))
      .join('');
    const cipher = createCipheriv('sm4-ecb', key, null).setAutoPadding(false);
    expect(text).toBe(hex(cipher.update(Buffer.concat([first, second]))));
  });
});
