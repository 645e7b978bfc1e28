import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../test/trace/mutate.js';
import { prefixCount } from '../../x86/instruction-length.js';
import { highRegisters } from './loop.js';

const { Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Register, RegisterExt } =
  createRequire(import.meta.url)('iced-x86') as typeof Iced;

const INSTRUCTIONS = 200_000;
const LONGEST = 15;
const PREFIXES = [0x66, 0xf2, 0xf3, 0x67, 0x64, 0xf0];
/** What instructions begin with behind prefixes: one byte, the escapes, VEX, EVEX and XOP. */
const BEGINNINGS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], [0xc5], [0xc4], [0x62], [0x8f]];

/** Bits of R8 to R15 that the instruction uses, as a decoder knows them. */
function usedBy(instruction: Iced.Instruction, factory: Iced.InstructionInfoFactory): number {
  const info = factory.info(instruction);
  let bits = 0;
  for (const used of info.usedRegisters()) {
    const register = RegisterExt.fullRegister(used.register);
    if (register >= Register.R8 && register <= Register.R15) bits |= 1 << (register - Register.R8);
    used.free();
  }
  info.free();
  return bits;
}

function randomCode(random: (below: number) => number): Uint8Array {
  const before = [
    ...(random(3) === 0 ? [PREFIXES[random(PREFIXES.length)]] : []),
    ...(random(2) === 0 ? [0x40 | random(16)] : []),
    ...BEGINNINGS[random(BEGINNINGS.length)],
  ];
  return Uint8Array.from({ length: LONGEST }, (_, at) => before[at] ?? random(256));
}

describe('highRegisters', () => {
  it('has every register that an instruction of a loop uses, of random ones', () => {
    const factory = new InstructionInfoFactory();
    const instruction = new Instruction();
    const random = seeded(1);
    const missing: string[] = [];
    let using = 0;
    for (let count = 0; count < INSTRUCTIONS; count++) {
      const bytes = randomCode(random);
      const decoder = new Decoder(64, bytes, DecoderOptions.None);
      decoder.decodeOut(instruction);
      decoder.free();
      const { flowControl } = instruction;
      const isOfLoop = flowControl === FlowControl.Next || flowControl === FlowControl.ConditionalBranch;
      if (instruction.isInvalid || !isOfLoop) continue;
      const code = bytes.subarray(0, instruction.length);
      const used = usedBy(instruction, factory);
      if (used !== 0) using++;
      if (used & ~highRegisters(code, prefixCount(bytes, 0)))
        missing.push(`${Buffer.from(code).toString('hex')} ${instruction.toString()}`);
    }
    instruction.free();
    factory.free();
    expect(missing).toEqual([]);
    expect(using).toBeGreaterThan(INSTRUCTIONS / 100);
  });

  it.each([
    ['lea r8,[r9+r10]', '4f8d0411', 0b111],
    ['andn eax,r9d,ebx', 'c4e230f2c3', 0b10],
    ['push r12', '4154', 0b1_0000],
  ])('has those of %s', (_, code, registers) => {
    const bytes = Buffer.from(code, 'hex');
    expect(highRegisters(bytes, prefixCount(bytes, 0)) & registers).toBe(registers);
  });

  it('has none of instructions without a prefix that extends registers', () => {
    expect(highRegisters(Buffer.from('89d8', 'hex'), 0)).toBe(0);
  });
});
