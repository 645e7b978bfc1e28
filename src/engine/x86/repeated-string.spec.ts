import { describe, expect, it } from 'vitest';
import { newRegisters, Reg, setRegister, type RegisterWords } from '../base/registers.js';
import { lastTurn } from './repeated-string.js';

const bytesOf = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

function registers(values: Partial<Record<keyof typeof Reg, bigint>>): RegisterWords {
  const words = newRegisters();
  for (const [name, value] of Object.entries(values))
    setRegister(words, Reg[name as keyof typeof Reg], value);
  return words;
}

const POINTERS = { rsi: 0x7000_0000_1000n, rdi: 0x7000_0000_2000n };

describe('lastTurn', () => {
  it.each([
    ['rep movsb', 'f3 a4', { length: 2, size: 1, addresses: [0x7000_0000_0fffn, 0x7000_0000_1fffn] }],
    ['rep stosq', 'f3 48 ab', { length: 3, size: 8, addresses: [0x7000_0000_1ff8n] }],
    ['repne scasw', '66 f2 af', { length: 3, size: 2, addresses: [0x7000_0000_1ffen] }],
    ['rep lodsd', 'f3 ad', { length: 2, size: 4, addresses: [0x7000_0000_0ffcn] }],
    [
      'repe cmpsb with a segment',
      'f3 64 a6',
      { length: 3, size: 1, addresses: [0x7000_0000_0fffn, 0x7000_0000_1fffn] },
    ],
  ])('%s that is finished', (_name, code, expected) => {
    expect(lastTurn(bytesOf(`${code} 90 90`), registers(POINTERS))).toEqual(expected);
  });

  it('goes downwards with the direction flag', () => {
    const state = registers({ ...POINTERS, eflags: 0x400n });
    expect(lastTurn(bytesOf('f3 aa'), state)?.addresses).toEqual([0x7000_0000_2001n]);
  });

  it('counts and points with 32 bits under an address prefix', () => {
    const state = registers({ ...POINTERS, rcx: 1n << 32n });
    expect(lastTurn(bytesOf('67 f3 aa'), state)?.addresses).toEqual([0x1fffn]);
    expect(lastTurn(bytesOf('f3 aa'), state)).toBeNull();
  });

  it.each([
    ['turns are left', 'f3 a4', { rcx: 1n }],
    ['not repeated', 'a4', {}],
    ['another instruction: PAUSE', 'f3 90', {}],
    ['nothing', '', {}],
  ])('null: %s', (_name, code, values) => {
    expect(lastTurn(bytesOf(code), registers(values))).toBeNull();
  });
});
