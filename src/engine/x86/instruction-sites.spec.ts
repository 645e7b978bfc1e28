import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Insn } from './decode.js';
import { iced } from './iced.js';
import { findSites, mayHaveSites, type SoughtKinds } from './instruction-sites.js';

const XSAVE = { xsave: true, cpuid: false };

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.split(' '), (byte) => parseInt(byte, 16));
/** Code before and after, so that there is something to fall into step with. */
const NOPS = '48 89 e5 41 57 48 83 ec 18 90 90 31 c0 48 8d 7c 24 08 0f 1f 00 48 89 c7 55 53 50 58';
const within = (middle: string): Uint8Array => bytesOf(`${NOPS} ${middle} ${NOPS}`);
const at = NOPS.split(' ').length;

/** A stub of rr's for a patched system call, up to the address that it jumps to. */
const STUB =
  '48 89 24 25 10 10 00 70 bc 1e 10 00 70 66 9c 48 8b 24 25 10 10 00 70 ff 04 25 18 10 00 70 83 3c 25 18 10 00 70 01 75 0a ' +
  '48 8b 24 25 00 10 00 70 eb 07 48 81 ec 00 01 00 00 ff 34 25 10 10 00 70 50 c7 04 24 1d 0b 04 0f c7 44 24 04 53 7f 00 00 ' +
  'ff 25 00 00 00 00';

describe('instructions that differ without an exception', () => {
  const NONE: SoughtKinds = { xsave: false, cpuid: false };
  const KEYS = { ...NONE, keys: true };
  const LZCNT = { ...NONE, lzcnt: true };
  const TZCNT = { ...NONE, tzcnt: true };
  const APPROXIMATIONS = { ...NONE, approximations: true };
  const CPUID = { ...NONE, cpuid: true };
  const RDPID = { ...NONE, rdpid: true };

  it.each([
    ['f3 0f c7 f8', RDPID, Insn.rdpid, 1, 2],
    ['f3 41 0f c7 f9', RDPID, Insn.rdpid, 2, 3],
    ['0f 01 ee', KEYS, Insn.rdpkru, 0, 1],
    ['0f 01 ef', KEYS, Insn.wrpkru, 0, 1],
    ['f3 0f bd c1', LZCNT, Insn.lzcnt, 1, 2],
    ['66 f3 4c 0f bd 44 24 08', LZCNT, Insn.lzcnt, 3, 4],
    ['f3 0f bc 07', TZCNT, Insn.tzcnt, 1, 2],
    ['0f 52 c1', APPROXIMATIONS, Insn.approximation, 0, 1],
    ['f3 44 0f 53 44 24 10', APPROXIMATIONS, Insn.approximation, 2, 3],
    ['c5 f8 52 c1', APPROXIMATIONS, Insn.approximation, 0, 2],
    ['c5 fa 53 c9', APPROXIMATIONS, Insn.approximation, 0, 2],
    ['c4 c1 7c 52 45 10', APPROXIMATIONS, Insn.approximation, 0, 3],
  ])('%s is found', (code, kinds, kind, opcode, changed) => {
    const bytes = within(code);
    const site = { start: at, opcode: at + opcode, changed: at + changed, kind };
    expect(findSites(bytes, 0, bytes.length, kinds)).toEqual([site]);
    for (const sought of [RDPID, KEYS, LZCNT, TZCNT, APPROXIMATIONS, XSAVE, CPUID])
      expect(mayHaveSites(bytes, 0, bytes.length, sought)).toBe(sought === kinds);
    // Wherever a page begins or ends, the changed byte is not missed in the one that has it.
    const page = at + changed;
    for (let from = at - 1; from <= page; from++) {
      for (let to = page + 1; to < page + 8; to++) expect(mayHaveSites(bytes, from, to, kinds)).toBe(true);
    }
    expect(mayHaveSites(bytes, 0, at + opcode, kinds)).toBe(false);
    expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([]);
  });

  it.each([
    ['c7 f9 90 90', 'at its beginning'],
    ['90 90 f3 0f', 'at its end, by the first bytes', false],
    ['90 90 f3 0f c7', 'at its end'],
    ['c7 01 90 90', 'at its beginning, and it is none', false],
  ])('a page may have a part of RDPID: %s, %s', (code, _where, expected = true) =>
    expect(mayHaveSites(bytesOf(code), 0, bytesOf(code).length, RDPID)).toBe(expected),
  );

  it.each([
    ['48 8d 05 02 00 00 00 90 90 0f a2 89 c8', 'at an address that a LEA takes'],
    ['48 3d 06 00 00 00 77 04 48 83 c0 08 0f a2 90', 'a distance after a CMP whose immediate it is'],
    ['64 48 2b 04 25 06 00 00 00 75 04 48 89 c6 0f a2', 'a distance after a SUB whose address it is'],
    ['0f a2 0f 0b', 'before UD2'],
    ['0f a2 c3 00 00 00 00', 'before RET and padding'],
    ['0f a2 e9 10 00 00 00 00 00', 'before JMP'],
    ['0f a2 ff e0 00 00 00', 'before JMP by a register'],
    ['0f a2 85 c0 74 05 89 c8 31 c9 0f a2 90 90', 'in code'],
  ])('CPUID is found in %s: %s', (code) => {
    const bytes = within(code);
    const first = at + code.split(' ').findIndex((byte, i, all) => byte === '0f' && all[i + 1] === 'a2');
    expect(findSites(bytes, 0, bytes.length, CPUID)[0]?.start).toBe(first);
  });

  it.each([
    ['0f c7 f8', RDPID, 'RDSEED'],
    ['0f bd c1', LZCNT, 'BSR'],
    ['0f bc 07', TZCNT, 'BSF'],
    ['f3 0f bc 07', LZCNT, 'TZCNT'],
    ['66 0f 52 c1', APPROXIMATIONS, 'nothing'],
    ['c5 f9 52 c1', APPROXIMATIONS, 'nothing'],
    ['b8 0f 52 c1 90', APPROXIMATIONS, 'MOV of the same bytes'],
    ['c7 44 24 08 f3 0f bd c1', LZCNT, 'MOV of the same bytes'],
    ['ff 25 00 00 00 00 64 53 13 0f 53 7f 00 00', APPROXIMATIONS, 'address of a JMP'],
    [`${STUB} 4f 53 13 0f 53 7f 00 00 ${STUB} 64 53 13 0f 53 7f 00 00`, APPROXIMATIONS, 'two of its'],
    [`${STUB} 4f 53 13 0f a2 7f 00 00`, { ...NONE, cpuid: true }, 'the same'],
    ['ff 15 02 00 00 00 eb 08 64 53 13 0f 53 7f 00 00', APPROXIMATIONS, 'address of a CALL'],
    ['48 8b 0d 00 00 00 00 0f a2 8b 50 08 90 90', CPUID, 'constant of a MOV'],
    ['eb 08 90 90 90 90 90 90 0f a2 f2 0f 10 0d f6 ff ff ff', CPUID, 'constant of a MOVSD'],
    [
      'c5 fc 28 0d 14 00 00 00 eb 34 90 90 48 89 c8 50 90 90 90 90 90 90 90 90 90 90 90 90 53 0f a2 5b',
      CPUID,
      'constant of a VMOVAPS',
    ],
    ['81 3d 00 00 00 00 0f a2 53 51 53 0f a2 51', CPUID, 'constant of a CMP with an immediate'],
    ['0f a2 27 50 00 00 00 00', CPUID, 'pointer, which goes on with no instruction'],
    ['0f a2 48 50 00 00 00 00', CPUID, 'pointer, which goes on with zeros'],
    ['0f a2 53 ec 51', CPUID, 'data, which goes on with a privileged instruction'],
  ])('%s is not for %o: %s', (code, kinds, _) => {
    const bytes = within(code);
    expect(findSites(bytes, 0, bytes.length, kinds)).toEqual([]);
  });
});

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
    expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([
      { start: at, opcode: at + prefixes, changed: at + prefixes + 1, kind },
    ]);
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
    { start: 2, opcode: 2, changed: 3, kind: Insn.cpuid },
  ]);
  expect(findSites(bytes, 0, bytes.length, XSAVE)).toEqual([]);
});
