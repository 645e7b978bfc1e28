import { describe, expect, it } from 'vitest';
import { Reg, getRegister, newRegisters, setRegister } from '../base/registers.js';
import { isWild, leadsTo, undoBranch, undoCall } from './wild-branch.js';

const CODE = 0x40_1000n;
const STACK = 0x7fff_0000_0100n;
const WILD = 0x4141_4141_4141_4141n;

/** Code at CODE, eight words at STACK. */
function setUp(code: string, words: bigint[] = []) {
  const areas: [bigint, Uint8Array][] = [
    [CODE, Uint8Array.from(Buffer.from(code, 'hex'))],
    [STACK, new Uint8Array(64)],
  ];
  words.forEach((word, i) => new DataView(areas[1][1].buffer).setBigUint64(8 * i, word, true));
  const read = (address: bigint, into: Uint8Array): number => {
    for (const [start, bytes] of areas) {
      const offset = Number(address - start);
      if (offset < 0 || offset >= bytes.length) continue;
      const there = bytes.subarray(offset, offset + into.length);
      into.set(there);
      return there.length;
    }
    return 0;
  };
  const state = (rip: bigint, rsp: bigint, rax = 0n) => {
    const registers = newRegisters();
    setRegister(registers, Reg.rip, rip);
    setRegister(registers, Reg.rsp, rsp);
    setRegister(registers, Reg.rax, rax);
    return registers;
  };
  return { read, state };
}

describe('isWild', () => {
  it.each([
    [0x7fff_ffff_ffffn, false],
    [0x8000_0000_0000n, true],
    [0xffff_7fff_ffff_ffffn, true],
    [0xffff_8000_0000_0000n, false],
    [WILD, true],
  ])('%#', (rip, wild) => {
    expect(isWild(setUp('').state(rip, 0n))).toBe(wild);
  });
});

describe('a state that a branch leads to', () => {
  it.each([
    ['ret', 'c3', [WILD], 8n],
    ['repz ret', 'f3c3', [WILD], 8n],
    ['ret 16', 'c21000', [WILD], 24n],
    ['lretq', '48cb', [WILD, 0x33n], 16n],
    ['lretq 8', '48ca0800', [WILD, 0x33n], 24n],
    ['iretq', '48cf', [WILD, 0x33n, 0x202n, STACK + 0x30n, 0x2bn], 0x30n],
    ['jmp *%rax', 'ffe0', [], 0n],
    ['jmp *(%rsp)', 'ff2424', [WILD], 0n],
    ['ljmp *(%rsp)', '48ff2c24', [WILD, 0x33n], 0n],
    ['call *%rax', 'ffd0', [], -8n],
    ['notrack call *%rax', '3effd0', [], -8n],
    ['call *(%rsp)', 'ff1424', [WILD], -8n],
    ['lcall *(%rsp)', '48ff1c24', [WILD, 0x33n], -16n],
  ])('%s', (_, code, words, moved) => {
    const { read, state } = setUp(code, words);
    const before = state(CODE, STACK, WILD);
    const after = state(WILD, STACK + moved, WILD);
    expect(leadsTo(before, after, read)).toBe(true);
    expect(leadsTo(before, state(WILD, STACK + moved + 8n), read)).toBe(false);
    expect(leadsTo(before, state(CODE, STACK + moved), read)).toBe(false);
    undoBranch(before, after);
    expect(after).toEqual(before);
  });

  it('is not one of other instructions, direct branches and other return addresses', () => {
    for (const [code, moved] of [
      ['90', 0n],
      ['eb00', 0n],
      ['e800000000', -8n],
      ['c3', 8n],
    ] as const) {
      const { read, state } = setUp(code, [0x1234n]);
      expect(leadsTo(state(CODE, STACK), state(WILD, STACK + moved), read), code).toBe(false);
    }
    expect(leadsTo(setUp('').state(0x1000n, STACK), setUp('').state(WILD, STACK), () => 0)).toBe(false);
  });
});

describe('a call that is known only from its return address', () => {
  it.each([
    ['call *%rax', 'ffd0'],
    ['call *%r8', '41ffd0'],
    ['call *0x10(%rsp)', 'ff542410'],
    ['call *0x18(%rax,%r8,1)', '42ff540018'],
  ])('%s', (text, code) => {
    const size = BigInt(code.length / 2);
    const { read, state } = setUp(code, [CODE + size, 0n, 0n, WILD, WILD]);
    const after = state(WILD, STACK, text.includes('(%rax') ? STACK : WILD);
    setRegister(after, Reg.r8, text.includes('(%rax') ? 0n : WILD);
    expect(undoCall(after, read)).toBe(true);
    expect([getRegister(after, Reg.rip), getRegister(after, Reg.rsp)]).toEqual([CODE, STACK + 8n]);
  });

  it('is not there after a return or a jump', () => {
    const { read, state } = setUp('ffd0', [CODE + 2n]);
    expect(undoCall(state(WILD, STACK, 0x77n), read)).toBe(false);
    expect(undoCall(state(WILD, 0x10n, WILD), read)).toBe(false);
  });
});
