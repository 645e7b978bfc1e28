/** Instructions of processors since 2023 (native/completion/newer.cc), against references that are written here. */
import { describe, expect, it } from 'vitest';
import {
  ARENA,
  bytesFrom,
  execute,
  F2,
  F3,
  hex,
  isBuilt,
  NO_SOURCE,
  NP,
  number,
  numbers,
  P66,
  value,
  vex,
} from './instruction-lines.js';

describe.skipIf(!isBuilt)('instructions in software', () => {
  it('VPMADD52LUQ and VPMADD52HUQ of VEX', () => {
    const next = numbers(1n);
    const cases = Array.from({ length: 200 }, (_, i) => {
      const [c, a, b] = [0, 1, 2].map(() => bytesFrom(next, 32));
      return { high: i & 1, l: (i >> 1) & 1, memory: (i & 4) !== 0, c, a, b };
    });
    const answers = execute(
      cases.map(({ high, l, memory, c, a, b }) => ({
        code: vex({ map: 2, pp: P66, w: 1, l, opcode: 0xb4 + high }, [1, 2, memory ? 'memory' : 3]),
        zmm1: hex(c) + 'ff'.repeat(32),
        zmm2: hex(a),
        zmm3: memory ? '' : hex(b),
        memory: memory ? hex(b) : '',
        gpr0: number(ARENA),
      })),
    );
    const mask = (1n << 52n) - 1n;
    cases.forEach(({ high, l, c, a, b }, at) => {
      const elements = Array.from({ length: 2 << l }, (_, i) => {
        const product = (a.readBigUInt64LE(8 * i) & mask) * (b.readBigUInt64LE(8 * i) & mask);
        return number(c.readBigUInt64LE(8 * i) + (high ? product >> 52n : product & mask));
      });
      expect(answers[at]).toEqual({
        verdict: 'done',
        changed: { length: '05', zmm1: elements.join('').padEnd(128, '0') },
      });
    });
  });

  it('dot products of AVX-VNNI-INT8 and INT16', () => {
    const next = numbers(2n);
    const kinds = [
      { pp: F2, opcode: 0x50, bytes: 1, signed: [true, true] },
      { pp: F3, opcode: 0x50, bytes: 1, signed: [true, false] },
      { pp: NP, opcode: 0x50, bytes: 1, signed: [false, false] },
      { pp: F3, opcode: 0xd2, bytes: 2, signed: [true, false] },
      { pp: P66, opcode: 0xd2, bytes: 2, signed: [false, true] },
      { pp: NP, opcode: 0xd2, bytes: 2, signed: [false, false] },
    ];
    const cases = kinds.flatMap((kind) =>
      Array.from({ length: 60 }, (_, i) => {
        // Extreme elements in every third, so that sums saturate.
        const [c, a, b] = [0, 1, 2].map(() =>
          bytesFrom(next, 32).map((byte) =>
            i % 3 === 0 ? (byte & 1 ? 0x7f : 0x80) : i % 3 === 1 ? 0xff : byte,
          ),
        );
        return {
          ...kind,
          saturates: i & 1,
          l: (i >> 1) & 1,
          c: Buffer.from(c),
          a: Buffer.from(a),
          b: Buffer.from(b),
        };
      }),
    );
    const answers = execute(
      cases.map(({ pp, opcode, saturates, l, c, a, b }) => ({
        code: vex({ map: 2, pp, l, opcode: opcode + saturates }, [1, 2, 3]),
        ...{ zmm1: hex(c), zmm2: hex(a), zmm3: hex(b) },
      })),
    );
    cases.forEach(({ bytes, signed, saturates, l, c, a, b }, at) => {
      const read = (from: Buffer, isSigned: boolean, index: number): number =>
        isSigned ? from.readIntLE(bytes * index, bytes) : from.readUIntLE(bytes * index, bytes);
      const isSigned = signed.some(Boolean);
      const [least, most] = isSigned ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
      const sums = Array.from({ length: 4 << l }, (_, i) => {
        let sum = isSigned ? c.readInt32LE(4 * i) : c.readUInt32LE(4 * i);
        for (let j = (4 / bytes) * i; j < (4 / bytes) * (i + 1); j++)
          sum += read(a, signed[0], j) * read(b, signed[1], j);
        return number(BigInt(saturates ? Math.min(most, Math.max(least, sum)) : sum), 4);
      });
      expect(answers[at].verdict).toBe('done');
      expect(answers[at].changed.zmm1 ?? hex(c).padEnd(128, '0')).toBe(sums.join('').padEnd(128, '0'));
    });
  });

  it('conversions of AVX-NE-CONVERT, whatever MXCSR says', () => {
    const next = numbers(3n);
    /** IEEE 754's half to single; a NaN quiet. */
    const ofHalf = (bits: number): number => {
      const sign = ((bits >> 15) << 31) >>> 0;
      const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
      if (exponent === 31) return (sign | 0x7f800000 | (fraction << 13) | (fraction ? 0x400000 : 0)) >>> 0;
      const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
      return (sign | new Uint32Array(Float32Array.of(magnitude).buffer)[0]) >>> 0;
    };
    const ofBrief = (bits: number): number => (bits << 16) >>> 0;
    const kinds = [
      { pp: F3, opcode: 0xb1, of: ofBrief, from: null },
      { pp: P66, opcode: 0xb1, of: ofHalf, from: null },
      { pp: F3, opcode: 0xb0, of: ofBrief, from: 0 },
      { pp: P66, opcode: 0xb0, of: ofHalf, from: 0 },
      { pp: F2, opcode: 0xb0, of: ofBrief, from: 1 },
      { pp: NP, opcode: 0xb0, of: ofHalf, from: 1 },
    ];
    const special = [0, 0x8000, 1, 0x83ff, 0x7c00, 0xfc01, 0x7e00, 0x7f81, 0xff80, 0x3c00];
    const cases = kinds.flatMap((kind) =>
      Array.from({ length: 40 }, (_, i) => {
        const memory = bytesFrom(next, 32);
        special.forEach((bits, at) => void (i % 2 && memory.writeUInt16LE(bits, (2 * (at + i)) % 32)));
        return { ...kind, l: (i >> 1) & 1, memory };
      }),
    );
    const answers = execute(
      cases.map(({ pp, opcode, l, memory }) => ({
        code: vex({ map: 2, pp, l, opcode }, [1, NO_SOURCE, 'memory']),
        ...{ gpr0: number(ARENA), memory: hex(memory), zmm1: 'ee'.repeat(64), mxcsr: number(0xe040n, 4) },
      })),
    );
    cases.forEach(({ of, from, l, memory }, at) => {
      const singles = Array.from({ length: 4 << l }, (_, i) =>
        number(BigInt(of(memory.readUInt16LE(from === null ? 0 : 4 * i + 2 * from))), 4),
      );
      expect(answers[at]).toEqual({
        verdict: 'done',
        changed: { length: '05', zmm1: singles.join('').padEnd(128, '0') },
      });
    });
    // Of registers there is no such instruction.
    const code = vex({ map: 2, pp: F3, opcode: 0xb0 }, [1, NO_SOURCE, 3]);
    expect(execute([{ code }])[0].verdict).toBe('#UD');
    // VEX's VCVTNEPS2BF16 is EVEX's.
    const zmm3 = hex(bytesFrom(next, 64));
    const [narrow, wide] = execute([
      {
        zmm3,
        code: vex({ map: 2, pp: F3, l: 1, opcode: 0x72 }, [1, NO_SOURCE, 3]),
        mxcsr: number(0x1f80n, 4),
      },
      { zmm2: 'ff', code: '62f27e2872d3' },
    ]);
    expect(narrow.changed.zmm1).toBe(wide.changed.zmm2);
  });

  it('CMPccXADD', () => {
    const next = numbers(5n);
    const cases = Array.from({ length: 16 }, (_, condition) => condition).flatMap((condition) =>
      Array.from({ length: 24 }, (_, i) => {
        const w = i & 1;
        const bits = w ? 64 : 32;
        const [memory, added] = [BigInt.asUintN(bits, next()), next()];
        const close = [memory, memory + 1n, memory - 1n, memory ^ (1n << BigInt(bits - 1))];
        return {
          condition,
          w,
          bits,
          memory,
          added,
          with: BigInt.asUintN(64, i % 6 < 4 ? close[i % 6] : next()),
        };
      }),
    );
    const answers = execute(
      cases.map((one) => ({
        code: vex({ map: 2, pp: P66, w: one.w, opcode: 0xe0 + one.condition }, [1, 2, 'memory']),
        ...{ gpr0: number(ARENA), gpr1: number(one.with), gpr2: number(one.added) },
        ...{ memory: number(one.memory), rflags: number(0x8d7n) },
      })),
    );
    cases.forEach(({ condition, bits, memory, added, with: other }, at) => {
      const compared = BigInt.asUintN(bits, other);
      const difference = BigInt.asUintN(bits, memory - compared);
      const exact = BigInt.asIntN(bits, memory) - BigInt.asIntN(bits, compared);
      let ones = 0;
      for (let bit = 0n; bit < 8n; bit++) ones += Number((difference >> bit) & 1n);
      const flags = {
        overflow: exact !== BigInt.asIntN(bits, exact),
        carry: memory < compared,
        zero: difference === 0n,
        sign: BigInt.asIntN(bits, difference) < 0n,
        parity: ones % 2 === 0,
        auxiliary: (memory & 15n) < (compared & 15n),
      };
      const holds = [
        flags.overflow,
        flags.carry,
        flags.zero,
        memory <= compared,
        flags.sign,
        flags.parity,
        BigInt.asIntN(bits, memory) < BigInt.asIntN(bits, compared),
        BigInt.asIntN(bits, memory) <= BigInt.asIntN(bits, compared),
      ][condition >> 1];
      const stored = holds === (condition % 2 === 0) ? BigInt.asUintN(bits, memory + added) : memory;
      const { verdict, changed } = answers[at];
      expect(verdict).toBe('done');
      expect(value((changed.memory ?? number(memory)).slice(0, 16))).toBe(stored);
      expect(value(changed.gpr1 ?? number(other))).toBe(memory);
      expect(value(changed.rflags ?? number(0x8d7n))).toBe(
        (flags.overflow ? 0x800n : 0n) |
          (flags.sign ? 0x80n : 0n) |
          (flags.zero ? 0x40n : 0n) |
          (flags.auxiliary ? 0x10n : 0n) |
          (flags.parity ? 4n : 0n) |
          (flags.carry ? 3n : 2n),
      );
    });
    const code = vex({ map: 2, pp: P66, w: 1, opcode: 0xe4 }, [1, 2, 'memory']);
    const [misaligned, readOnly] = execute([
      { code, gpr0: number(ARENA + 4n) },
      { code, gpr0: number(ARENA + 0x5000n) },
    ]);
    expect(misaligned.verdict).toBe('#GP');
    expect(readOnly.verdict).toBe('#PF');
  });

  it('AMX-FP16 and AMX-COMPLEX', () => {
    const next = numbers(6n);
    const [rows, pairs, columns] = [3, 2, 4];
    const config = Buffer.alloc(64);
    config[0] = 1;
    // TMM1 = TMM2 by TMM3.
    [
      [1, rows, columns],
      [2, rows, pairs],
      [3, pairs, columns],
    ].forEach(([tile, count, width]) => {
      config[48 + tile] = count;
      config.writeUInt16LE(4 * width, 16 + 2 * tile);
    });
    /** Small integers and halves of them, so that every sum is exact in whatever order. */
    const small = (): number => Number(next() % 33n) - 16;
    const half = (of: number): number => {
      if (of === 0) return 0;
      const exponent = Math.floor(Math.log2(Math.abs(of)));
      return (of < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(of) / 2 ** exponent - 1) * 1024);
    };
    const matrix = (count: number, width: number): number[][] =>
      Array.from({ length: count }, () => Array.from({ length: width }, small));
    const [a, b, c] = [matrix(rows, 2 * pairs), matrix(pairs, 2 * columns), matrix(rows, columns)];
    const data = Buffer.alloc(8192);
    a.forEach((row, m) => row.forEach((one, i) => data.writeUInt16LE(half(one), 2048 + 64 * m + 2 * i)));
    b.forEach((row, k) => row.forEach((one, i) => data.writeUInt16LE(half(one), 3072 + 64 * k + 2 * i)));
    c.forEach((row, m) => row.forEach((one, n) => data.writeFloatLE(one, 1024 + 64 * m + 4 * n)));
    // The smallest half is no zero here.
    data.writeUInt16LE(1, 2048);
    a[0][0] = 2 ** -24;
    const products: [name: string, pp: number, opcode: number, (x: number[], y: number[]) => number][] = [
      ['TDPFP16PS', F2, 0x5c, ([x0, x1], [y0, y1]) => x0 * y0 + x1 * y1],
      ['TCMMIMFP16PS', P66, 0x6c, ([x0, x1], [y0, y1]) => x1 * y0 + x0 * y1],
      ['TCMMRLFP16PS', NP, 0x6c, ([x0, x1], [y0, y1]) => x0 * y0 - x1 * y1],
    ];
    const answers = execute(
      products.map(([, pp, opcode]) => ({
        // ModRM.reg is the result, ModRM.rm the first factor, VEX.vvvv the second.
        code: vex({ map: 2, pp, opcode }, [1, 3, 2]),
        ...{ tileconfig: hex(config), tiledata: hex(data) },
      })),
    );
    products.forEach(([name, , , product], at) => {
      expect(answers[at].verdict, name).toBe('done');
      const result = Buffer.from(answers[at].changed.tiledata, 'hex');
      for (let m = 0; m < rows; m++) {
        for (let n = 0; n < columns; n++) {
          let sum = c[m][n];
          for (let k = 0; k < pairs; k++)
            sum += product(a[m].slice(2 * k, 2 * k + 2), b[k].slice(2 * n, 2 * n + 2));
          // 2^-24 beside numbers of a few bits: rounded off, or not.
          expect(result.readFloatLE(1024 + 64 * m + 4 * n), `${name} ${m} ${n}`).toBeCloseTo(sum, 4);
        }
      }
    });
    // All else 0: a denormal half times 1 is 2^-24.
    const alone = Buffer.alloc(8192);
    alone.writeUInt16LE(1, 2048);
    alone.writeUInt16LE(half(1), 3072);
    const [answer] = execute([
      {
        code: vex({ map: 2, pp: F2, opcode: 0x5c }, [1, 3, 2]),
        tileconfig: hex(config),
        tiledata: hex(alone),
      },
    ]);
    expect(Buffer.from(answer.changed.tiledata, 'hex').readFloatLE(1024)).toBe(2 ** -24);
  });

  it('are #UD where the recorded processor had no such group', () => {
    const none = number(0n);
    const codes = [
      vex({ map: 2, pp: P66, w: 1, opcode: 0xb4 }, [1, 2, 3]),
      vex({ map: 2, pp: F2, l: 1, opcode: 0xcb }, [1, 2, 3]),
      '8fe878a2c120',
      'c4e37169c230',
      '8fe97001c9',
      '0f3800c1',
    ];
    for (const { verdict, changed } of execute(codes.map((code) => ({ code, features: none })))) {
      expect(verdict).toBe('#UD');
      expect(changed).toEqual({});
    }
    // W, L or a register that the encoding does not have.
    const wrong = [
      vex({ map: 2, pp: P66, w: 0, opcode: 0xb4 }, [1, 2, 3]),
      vex({ map: 2, pp: F2, l: 0, opcode: 0xcb }, [1, 2, 3]),
      vex({ map: 2, pp: F2, l: 1, opcode: 0xcb }, [1, 2, 'memory']),
      vex({ map: 2, pp: NP, l: 1, opcode: 0xda }, [1, 2, 3]),
      vex({ map: 2, pp: F3, opcode: 0x72 }, [1, 2, 3]),
    ];
    const answers = execute(wrong.map((code) => ({ code, features: number(-1n) })));
    for (const { verdict } of answers) expect(verdict).toBe('#UD');
  });
});
