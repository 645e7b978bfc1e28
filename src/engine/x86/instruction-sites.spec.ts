import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Insn } from './decode.js';
import { iced } from './iced.js';
import { findSites } from './instruction-sites.js';

const XSAVE = { xsave: true, cpuid: false };

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.split(' '), (byte) => parseInt(byte, 16));
/** Code before and after, so that there is something to fall into step with. */
const NOPS = '48 89 e5 41 57 48 83 ec 18 90 90 31 c0 48 8d 7c 24 08 0f 1f 00 48 89 c7 55 53 50 58';
const within = (middle: string): Uint8Array => bytesOf(`${NOPS} ${middle} ${NOPS}`);
const at = NOPS.split(' ').length;

describe('instructions of the XSAVE family', () => {
  it.each([
    ['0f ae 24 24', Insn.xsave, 0],
    ['48 0f ae 64 24 40', Insn.xsave, 1],
    ['41 0f ae 2c 24', Insn.xrstor, 1],
    ['48 0f ae 37', Insn.xsaveopt, 1],
    ['48 0f c7 64 24 40', Insn.xsavec, 1],
    ['64 48 0f ae 2c 25 00 10 00 00', Insn.xrstor, 2],
  ])('%s is found', (code, kind, prefixes) => {
    const bytes = within(code);
    expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([{ start: at, opcode: at + prefixes, kind }]);
  });

  it.each([
    ['0f ae e8', 'LFENCE'],
    ['0f ae 38', 'CLFLUSH'],
    ['66 0f ae 37', 'CLWB'],
    ['0f c7 0f', 'CMPXCHG8B'],
    ['48 b8 0f ae 24 24 00 00 00 00', 'MOV of the same bytes'],
    ['c7 44 24 08 0f ae 64 24', 'MOV of the same bytes'],
    ['e8 0f ae 24 00', 'CALL over that distance'],
  ])('%s is %s', (code) => {
    const bytes = within(code);
    expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([]);
  });

  it('are those of the dynamic linker, no more and no less than a sweep from its beginning finds', () => {
    const folder = path.resolve(import.meta.dirname, '../../../traces/haswell/faults');
    const name = fs.readdirSync(folder).find((file) => file.includes('ld-linux')) ?? '';
    const bytes = new Uint8Array(fs.readFileSync(path.join(folder, name)));
    const { Decoder, DecoderOptions, Instruction, Mnemonic } = iced();
    const text = { start: 0x1000, end: 0x27000 };
    const decoder = new Decoder(64, bytes.subarray(0, text.end), DecoderOptions.None);
    decoder.position = text.start;
    const instruction = new Instruction();
    const family: number[] = [Mnemonic.Xsave, Mnemonic.Xsave64, Mnemonic.Xsavec, Mnemonic.Xsavec64];
    family.push(Mnemonic.Xrstor, Mnemonic.Xrstor64, Mnemonic.Xsaveopt, Mnemonic.Xsaveopt64, Mnemonic.Xgetbv);
    const swept: number[] = [];
    while (decoder.canDecode) {
      const start = decoder.position;
      decoder.decodeOut(instruction);
      if (!instruction.isInvalid && family.includes(instruction.mnemonic)) swept.push(start);
    }
    const found = findSites(bytes, text.start, text.end, XSAVE).map(({ start }) => start);
    expect(found).toEqual(swept);
    expect(found.length).toBeGreaterThanOrEqual(5);
  });
});

it('finds CPUID where it is asked for, at boundaries only', () => {
  // xor %eax, %eax; cpuid; mov $0xa20f, %eax; ret
  const bytes = Uint8Array.of(0x31, 0xc0, 0x0f, 0xa2, 0xb8, 0x0f, 0xa2, 0, 0, 0xc3);
  expect(findSites(bytes, 0, bytes.length, { xsave: false, cpuid: true })).toEqual([
    { start: 2, opcode: 2, kind: Insn.cpuid },
  ]);
  expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([]);
});
