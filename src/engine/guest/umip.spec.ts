import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../base/address.js';
import { Reg, getRegister, newRegisters, setRegister } from '../base/registers.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { AddressSpace } from '../mm/address-space.js';
import { Prot } from '../mm/vma.js';
import { InstructionDecoder } from '../x86/decode.js';
import { answerUmip } from './umip.js';

const PAGE = 4096;
const DATA = 0x40_0000;
const ONES = 0xffff_ffff_ffff_ffffn;

/** One writable page at DATA, followed by a read-only one. */
function setUp() {
  const memory = new GuestMemory(new ArrayBuffer(8 * 2 ** 20), gpa(0x40000), 4 * 2 ** 20);
  const space = new AddressSpace(memory, { low: 0x15003, high: 0 });
  const map = (page: number, prot: number): void =>
    space.map({
      start: (DATA + page * PAGE) as Gva,
      end: (DATA + (page + 1) * PAGE) as Gva,
      prot,
      backing: null,
      offset: 0,
      name: '',
      file: null,
    });
  map(0, Prot.read | Prot.write);
  map(1, Prot.read);
  const registers = newRegisters();
  for (const slot of [Reg.rax, Reg.r9]) setRegister(registers, slot, ONES);
  const decoder = new InstructionDecoder();
  const answer = (code: string, rdi: number, answers: 'nothing' | 'tables' | 'all' = 'all') => {
    setRegister(registers, Reg.rdi, BigInt(rdi));
    decoder.decode(Uint8Array.from(Buffer.from(code, 'hex')));
    return answerUmip(space, registers, decoder, answers);
  };
  const bytes = (at: number, size: number): string => {
    const into = new Uint8Array(size);
    space.read(at as Gva, into);
    return Buffer.from(into).toString('hex');
  };
  return { space, registers, answer, bytes, decoder };
}

describe('in a register', () => {
  // The kernel stores operand size bytes and leaves the others, which a processor would clear for 32 bits.
  it.each([
    ['smsw %ax', '660f01e0', 'rax', 0xffff_ffff_ffff_0033n],
    ['smsw %eax', '0f01e0', 'rax', 0xffff_ffff_8005_0033n],
    ['smsw %r9', '490f01e1', 'r9', 0x8005_0033n],
    ['str %r9w', '66410f00c9', 'r9', 0xffff_ffff_ffff_0040n],
    ['str %eax', '0f00c8', 'rax', 0xffff_ffff_0000_0040n],
    ['str %rax', '480f00c8', 'rax', 0x40n],
    ['sldt %eax', '0f00c0', 'rax', 0xffff_ffff_0000_0000n],
  ] as const)('%s', (_, code, register, expected) => {
    const { answer, registers } = setUp();
    expect(answer(code, 0)).toBe('answered');
    expect(getRegister(registers, Reg[register])).toBe(expected);
  });

  it('sldt names the local table where the program has one', () => {
    const { answer, registers, space } = setUp();
    space.ldt = new Uint32Array(2);
    expect(answer('480f00c0', 0)).toBe('answered');
    expect(getRegister(registers, Reg.rax)).toBe(0x50n);
  });
});

describe('in memory', () => {
  it.each([
    ['sgdt (%rdi)', '0f0107', '00000000feffffffffff'],
    ['sidt (%rdi)', '0f010f', '00000000ffffffffffff'],
    ['smsw (%rdi)', '0f0127', '33000000000000000000'],
    ['str (%rdi), 64-bit', '480f000f', '40000000000000000000'],
  ])('%s', (_, code, expected) => {
    const { answer, bytes } = setUp();
    expect(answer(code, DATA)).toBe('answered');
    expect(bytes(DATA, 10)).toBe(expected);
  });

  it('stores up to a page that the program may not write, and gives the address of the operand', () => {
    const { answer, bytes, decoder } = setUp();
    expect(answer('0f0107', DATA + PAGE - 6)).toBe('unwritable');
    expect(bytes(DATA + PAGE - 6, 10)).toBe('00000000feff00000000');
    expect(decoder.addressLow).toBe(DATA + PAGE - 6);
    expect(answer('0f0127', DATA + PAGE)).toBe('unwritable');
  });

  it('a non-canonical address is the address of the signal', () => {
    const { answer, decoder, registers } = setUp();
    answer('0f0107', 0);
    setRegister(registers, Reg.rax, 0x4141_4141_4141_4141n);
    decoder.decode(Uint8Array.of(0x0f, 0x01, 0x00));
    expect(answerUmip(setUp().space, registers, decoder, 'all')).toBe('unwritable');
    expect([decoder.addressHigh, decoder.addressLow]).toEqual([0x4141_4141, 0x4141_4141]);
  });
});

describe('what older kernels refuse', () => {
  it.each([
    ['smsw', '0f01e0', 'nothing', 'refused'],
    ['sgdt', '0f0107', 'tables', 'answered'],
    ['smsw', '0f01e0', 'tables', 'answered'],
    ['sldt', '0f00c0', 'tables', 'refused'],
    ['str', '0f00c8', 'tables', 'refused'],
    ['rdtsc', '0f31', 'all', 'refused'],
  ] as const)('%s with %3$s', (_, code, answers, outcome) => {
    expect(setUp().answer(code, DATA, answers)).toBe(outcome);
  });
});
