/** TBM, and of XOP what no program of gcc's testsuite executes, against references that are written here. */
import { describe, expect, it } from 'vitest';
import { bytesFrom, execute, hex, isBuilt, joined, number, numbers, value } from './instruction-lines.js';

describe.skipIf(!isBuilt)('instructions in software', () => {
  it('TBM', () => {
    const next = numbers(7n);
    const all = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
    /** XOP's map 9, the opcode and ModRM.reg; what it makes of a number; whether the carry is the number's increment's. */
    const kinds: [name: string, opcode: number, group: number, (x: bigint) => bigint, increments: boolean][] =
      [
        ['BLCFILL', 1, 1, (x) => x & (x + 1n), true],
        ['BLSFILL', 1, 2, (x) => x | (x - 1n), false],
        ['BLCS', 1, 3, (x) => x | (x + 1n), true],
        ['TZMSK', 1, 4, (x) => ~x & (x - 1n), false],
        ['BLCIC', 1, 5, (x) => ~x & (x + 1n), true],
        ['BLSIC', 1, 6, (x) => ~x | (x - 1n), false],
        ['T1MSKC', 1, 7, (x) => ~x | (x + 1n), true],
        ['BLCMSK', 2, 1, (x) => x ^ (x + 1n), true],
        ['BLCI', 2, 6, (x) => x | ~(x + 1n), true],
      ];
    const cases = kinds.flatMap(([name, opcode, group, of, increments]) =>
      Array.from({ length: 24 }, (_, i) => {
        const bits = i & 1 ? 64 : 32;
        const special = [0n, all(bits), 1n, all(bits) >> 1n, all(bits) - 1n, 0xf0n];
        const operand = special[i >> 1] ?? BigInt.asUintN(bits, next());
        return { name, opcode, group, of, increments, bits, operand };
      }),
    );
    const answers = execute(
      cases.map(({ opcode, group, bits, operand }) => ({
        // The destination is vvvv: RBX; the source RCX, whose upper half has no part of 32 bits.
        code: hex(
          Uint8Array.of(0x8f, 0xe9, (bits === 64 ? 0x80 : 0) | ((~3 & 15) << 3), opcode, 0xc1 | (group << 3)),
        ),
        ...{ gpr1: number(operand | (0xabcdn << 64n)), gpr3: 'ff', rflags: number(0xad7n) },
      })),
    );
    cases.forEach(({ name, of, increments, bits, operand }, at) => {
      const result = BigInt.asUintN(bits, of(operand));
      expect(answers[at].verdict, name).toBe('done');
      expect(value(answers[at].changed.gpr3 ?? 'ff'), `${name} ${operand}`).toBe(result);
      const carry = operand === (increments ? all(bits) : 0n);
      // Of the flags only these are defined.
      const expected =
        (carry ? 1n : 0n) | (result === 0n ? 0x40n : 0n) | (result >> BigInt(bits - 1) ? 0x80n : 0n) | 0x202n;
      expect(value(answers[at].changed.rflags ?? number(0xad7n)) & ~0x14n, `${name} ${operand}`).toBe(
        expected,
      );
    });
    // BEXTR with an immediate: 12 bits from bit 4.
    const [answer] = execute([
      { code: '8fea78' + '10d9' + '040c0000', gpr1: number(0xfedc_ba98_7654_3210n), gpr3: '' },
    ]);
    expect(value(answer.changed.gpr3)).toBe(0x321n);
  });

  it('what no program of a compiler checks of XOP', () => {
    const next = numbers(8n);
    const xop = (map: number, opcode: number, third: 'immediate' | 'register', last: number): string =>
      hex(
        Uint8Array.of(
          0x8f,
          0xe0 | map,
          (~2 & 15) << 3,
          opcode,
          0xcb,
          third === 'register' ? last << 4 : last,
        ),
      );
    const zmm = [1, 2, 3, 4].map(() => bytesFrom(next, 16));
    const registers = { zmm1: '', zmm2: hex(zmm[1]), zmm3: hex(zmm[2]), zmm4: hex(zmm[3]) };
    const read = (from: Buffer, bytes: number, index: number): bigint =>
      BigInt.asIntN(8 * bytes, value(hex(from.subarray(bytes * index, bytes * (index + 1)))));
    const limited = (sum: bigint, bytes: number): bigint => {
      const bound = 1n << BigInt(8 * bytes - 1);
      return sum < -bound ? -bound : sum >= bound ? bound - 1n : sum;
    };
    const accumulating: [opcode: number, to: number, from: number, first: number, saturates: boolean][] = [
      [0x95, 2, 2, 0, false],
      [0x85, 2, 2, 0, true],
      [0x96, 4, 2, 1, false],
      [0x86, 4, 2, 1, true],
      [0x9e, 4, 4, 0, false],
      [0x8e, 4, 4, 0, true],
      [0x97, 8, 4, 0, false],
      [0x87, 8, 4, 0, true],
      [0x9f, 8, 4, 1, false],
      [0x8f, 8, 4, 1, true],
    ];
    for (const [opcode, to, from, first, saturates] of accumulating) {
      const [answer] = execute([{ ...registers, code: xop(8, opcode, 'register', 4) }]);
      const sums = Array.from({ length: 16 / to }, (_, i) => {
        const at = (i * to) / from + first;
        const sum = read(zmm[1], from, at) * read(zmm[2], from, at) + read(zmm[3], to, i);
        return saturates ? limited(sum, to) : sum;
      });
      expect(answer.changed.zmm1, opcode.toString(16)).toBe(joined(sums, to).padEnd(128, '0'));
    }
    for (const [opcode, saturates] of [
      [0xb6, false],
      [0xa6, true],
    ] as const) {
      const [answer] = execute([{ ...registers, code: xop(8, opcode, 'register', 4) }]);
      const sums = [0, 1, 2, 3].map((i) => {
        const product = (at: number): bigint => read(zmm[1], 2, at) * read(zmm[2], 2, at);
        const sum = product(2 * i) + product(2 * i + 1) + read(zmm[3], 4, i);
        return saturates ? limited(sum, 4) : sum;
      });
      expect(answer.changed.zmm1).toBe(joined(sums, 4).padEnd(128, '0'));
    }
    const predicates: ((x: bigint, y: bigint) => boolean)[] = [
      (x, y) => x < y,
      (x, y) => x <= y,
      (x, y) => x > y,
      (x, y) => x >= y,
      (x, y) => x === y,
      (x, y) => x !== y,
      () => false,
      () => true,
    ];
    for (const [unsigned, base] of [
      [false, 0xcc],
      [true, 0xec],
    ] as const) {
      for (let size = 0; size < 4; size++) {
        predicates.forEach((predicate, immediate) => {
          const bytes = 1 << size;
          // Some elements are the same.
          const same = Buffer.from(zmm[1]);
          zmm[2].copy(same, 0, 0, 8);
          const code = xop(8, base + size, 'immediate', immediate);
          const [answer] = execute([{ ...registers, zmm1: '55'.repeat(16), zmm2: hex(same), code }]);
          const as = (x: bigint): bigint => (unsigned ? BigInt.asUintN(8 * bytes, x) : x);
          const masks = Array.from({ length: 16 / bytes }, (_, i) =>
            predicate(as(read(same, bytes, i)), as(read(zmm[2], bytes, i))) ? -1n : 0n,
          );
          expect(answer.changed.zmm1).toBe(joined(masks, bytes).padEnd(128, '0'));
        });
      }
    }
    // VPCMOV in both orders; VPPERM's operations.
    const [straight, swapped, permuted] = execute([
      { ...registers, code: xop(8, 0xa2, 'register', 4) },
      { ...registers, code: hex(Uint8Array.of(0x8f, 0xe8, 0x80 | ((~2 & 15) << 3), 0xa2, 0xcb, 0x40)) },
      { ...registers, zmm4: '00112a33445566778898a9b8d8f80f1f', code: xop(8, 0xa3, 'register', 4) },
    ]);
    const chosen = (x: Buffer, y: Buffer, by: Buffer): string =>
      hex(x.map((byte, i) => (byte & by[i]) | (y[i] & ~by[i]))).padEnd(128, '0');
    expect(straight.changed.zmm1).toBe(chosen(zmm[1], zmm[2], zmm[3]));
    expect(swapped.changed.zmm1).toBe(chosen(zmm[1], zmm[3], zmm[2]));
    const controls = Buffer.from('00112a33445566778898a9b8d8f80f1f', 'hex');
    const reversed = (byte: number): number =>
      parseInt(byte.toString(2).padStart(8, '0').split('').reverse().join(''), 2);
    const bytes = controls.map((control) => {
      const byte = Buffer.concat([zmm[1], zmm[2]])[control & 31];
      const sign = byte & 0x80 ? 0xff : 0;
      return [byte, ~byte, reversed(byte), ~reversed(byte), 0, 0xff, sign, ~sign][control >> 5];
    });
    expect(permuted.changed.zmm1).toBe(hex(bytes).padEnd(128, '0'));
  });
});
