import { describe, expect, it } from 'vitest';
import { PacketError } from '../packet/fields.js';
import { parseConditions } from './conditions.js';
import { evaluateAgent, type AgentContext } from './expression.js';

const context: AgentContext = {
  register: (number) => BigInt(number) * 10n,
  memory: (address, size) => {
    if (address === 0n) throw new PacketError('no memory');
    return (address << 8n) | BigInt(size);
  },
};
const run = (...code: number[]): bigint => evaluateAgent(Uint8Array.from(code), context);
const END = 0x27;
const c8 = (value: number): number[] => [0x22, value];

describe('agent expressions', () => {
  it('compute on 64 bits', () => {
    expect(run(...c8(2), ...c8(3), 0x02, END)).toBe(5n);
    expect(run(...c8(2), ...c8(3), 0x03, END)).toBe(2n ** 64n - 1n);
    expect(run(...c8(200), ...c8(3), 0x04, END)).toBe(600n);
    expect(run(0x23, 0x12, 0x34, END)).toBe(0x1234n);
    expect(run(0x25, 0x80, 0, 0, 0, 0, 0, 0, 1, END)).toBe(2n ** 63n + 1n);
  });

  it('know signs', () => {
    const minus = (value: number): number[] => [...c8(0), ...c8(value), 0x03];
    expect(BigInt.asIntN(64, run(...minus(7), ...c8(2), 0x05, END))).toBe(-3n);
    expect(BigInt.asIntN(64, run(...minus(7), ...c8(2), 0x07, END))).toBe(-1n);
    expect(run(...minus(1), ...c8(1), 0x14, END)).toBe(1n);
    expect(run(...minus(1), ...c8(1), 0x15, END)).toBe(0n);
    expect(BigInt.asIntN(64, run(...c8(0xff), 0x16, 8, END))).toBe(-1n);
    expect(run(...minus(1), 0x2a, 16, END)).toBe(0xffffn);
    expect(BigInt.asIntN(64, run(...minus(8), ...c8(1), 0x0a, END))).toBe(-4n);
  });

  it('read registers and memory', () => {
    expect(run(0x26, 0, 7, END)).toBe(70n);
    expect(run(...c8(1), 0x19, END)).toBe(0x104n);
    expect(() => run(...c8(0), 0x17, END)).toThrow(PacketError);
  });

  it('move values and jump', () => {
    expect(run(...c8(1), ...c8(2), 0x2b, 0x03, END)).toBe(1n);
    // a b c => c a b
    expect(run(...c8(1), ...c8(2), ...c8(3), 0x33, 0x29, END)).toBe(1n);
    expect(run(...c8(1), ...c8(2), 0x32, 1, END)).toBe(1n);
    expect(run(...c8(1), 0x20, 0, 7, ...c8(9), ...c8(5), END)).toBe(5n);
    expect(run(0x21, 0, 5, ...c8(9), ...c8(5), END)).toBe(5n);
    expect(run(...c8(0), 0x0e, END)).toBe(1n);
  });

  it('are refused when they are malformed', () => {
    for (const code of [
      [],
      [0x02],
      [END],
      [0xff, END],
      [0x23, 1],
      [0x21, 0, 0],
      [...c8(1), ...c8(0), 0x06],
    ]) {
      expect(() => run(...code)).toThrow(PacketError);
    }
    // A stack that grows without bound.
    expect(() => run(...c8(1), 0x28, 0x21, 0, 2)).toThrow(PacketError);
  });
});

describe('conditions of a breakpoint', () => {
  it('are a list', () => {
    expect(parseConditions('X3,220027X3,220127').map((code) => [...code])).toEqual([
      [0x22, 0, 0x27],
      [0x22, 1, 0x27],
    ]);
    expect(parseConditions('')).toEqual([]);
    expect(parseConditions('X1,27;cmds:1,X1,27')).toHaveLength(1);
  });

  it('may be damaged', () => {
    for (const text of ['X', 'X5,2700', 'Xzz,00', 'Y1,27', 'X2,27zz'])
      expect(() => parseConditions(text)).toThrow(PacketError);
  });
});
