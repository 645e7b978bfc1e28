import { existsSync, readFileSync } from 'node:fs';
import { Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { newRegisters, Reg, REGISTER_COUNT, setRegister } from '../base/registers.js';
import { Insn, InstructionDecoder, isConditionalBranch, isRepeatedString, isXsaveFamily } from './decode.js';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const nameOf = Object.fromEntries(Object.entries(Insn).map(([name, kind]) => [kind, name]));

const kindOfMnemonic = new Map<Mnemonic, Insn>([
  [Mnemonic.Rdtsc, Insn.rdtsc],
  [Mnemonic.Rdtscp, Insn.rdtscp],
  [Mnemonic.Cpuid, Insn.cpuid],
  [Mnemonic.Xgetbv, Insn.xgetbv],
  [Mnemonic.Rdpkru, Insn.rdpkru],
  [Mnemonic.Wrpkru, Insn.wrpkru],
  [Mnemonic.Syscall, Insn.syscall],
  [Mnemonic.Int3, Insn.int3],
  [Mnemonic.Int, Insn.intN],
  [Mnemonic.Int1, Insn.int1],
  [Mnemonic.Tpause, Insn.tpause],
  [Mnemonic.Umwait, Insn.umwait],
  [Mnemonic.Rdrand, Insn.rdrand],
  [Mnemonic.Rdseed, Insn.rdseed],
  [Mnemonic.Rdpid, Insn.rdpid],
  [Mnemonic.Pushf, Insn.pushf],
  [Mnemonic.Pushfq, Insn.pushf],
  [Mnemonic.Popf, Insn.popf],
  [Mnemonic.Popfq, Insn.popf],
  [Mnemonic.Iret, Insn.iret],
  [Mnemonic.Iretd, Insn.iret],
  [Mnemonic.Iretq, Insn.iret],
  [Mnemonic.Sgdt, Insn.sgdt],
  [Mnemonic.Sidt, Insn.sidt],
  [Mnemonic.Sldt, Insn.sldt],
  [Mnemonic.Str, Insn.str],
  [Mnemonic.Smsw, Insn.smsw],
  [Mnemonic.Xsave, Insn.xsave],
  [Mnemonic.Xsave64, Insn.xsave],
  [Mnemonic.Xsavec, Insn.xsavec],
  [Mnemonic.Xsavec64, Insn.xsavec],
  [Mnemonic.Xsaveopt, Insn.xsaveopt],
  [Mnemonic.Xsaveopt64, Insn.xsaveopt],
  [Mnemonic.Xsaves, Insn.xsaves],
  [Mnemonic.Xsaves64, Insn.xsaves],
  [Mnemonic.Xrstor, Insn.xrstor],
  [Mnemonic.Xrstor64, Insn.xrstor],
  [Mnemonic.Xrstors, Insn.xrstors],
  [Mnemonic.Xrstors64, Insn.xrstors],
  [Mnemonic.Lzcnt, Insn.lzcnt],
  [Mnemonic.Tzcnt, Insn.tzcnt],
  [Mnemonic.Rsqrtps, Insn.approximation],
  [Mnemonic.Rsqrtss, Insn.approximation],
  [Mnemonic.Rcpps, Insn.approximation],
  [Mnemonic.Rcpss, Insn.approximation],
  [Mnemonic.Vrsqrtps, Insn.approximation],
  [Mnemonic.Vrsqrtss, Insn.approximation],
  [Mnemonic.Vrcpps, Insn.approximation],
  [Mnemonic.Vrcpss, Insn.approximation],
]);

function expectedKind(instruction: Instruction): Insn {
  if (instruction.flowControl === FlowControl.ConditionalBranch) return Insn.conditionalBranch;
  if (instruction.mnemonic === Mnemonic.Mov && instruction.op0Register === Register.SS) return Insn.movSs;
  return kindOfMnemonic.get(instruction.mnemonic) ?? Insn.other;
}

/** Where ours and iced's decoder disagree on the instruction at `offset`, or null. */
function disagreement(
  ours: InstructionDecoder,
  iced: Instruction,
  bytes: Uint8Array,
  offset: number,
): string | null {
  const expected = expectedKind(iced);
  const kind = ours.decode(bytes, offset);
  const branch = isConditionalBranch(bytes, offset);
  const sameLength = kind === Insn.other || ours.length === iced.length;
  if (kind === expected && sameLength && branch === (expected === Insn.conditionalBranch)) return null;
  const text = Buffer.from(bytes.subarray(offset, offset + 15)).toString('hex');
  return `${text}: iced ${iced.toString()} (${iced.length}), ours ${nameOf[kind]} (${ours.length}), branch ${branch}`;
}

/** Reproducible pseudo-random numbers in [0, 2^32) (xorshift32). */
function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const table: [string, keyof typeof Insn, number][] = [
  ['0f31', 'rdtsc', 2],
  ['660f31', 'rdtsc', 3],
  ['f30f31', 'rdtsc', 3],
  ['f00f31', 'other', 0],
  ['0f01f9', 'rdtscp', 3],
  ['0fa2', 'cpuid', 2],
  ['0f01d0', 'xgetbv', 3],
  ['0f01ee', 'rdpkru', 3],
  ['0f01ef', 'wrpkru', 3],
  ['660f01d0', 'other', 0],
  ['0f05', 'syscall', 2],
  ['cc', 'int3', 1],
  ['cd80', 'intN', 2],
  ['f1', 'int1', 1],
  ['ce', 'other', 0],
  ['660faef1', 'tpause', 4],
  ['f20faef1', 'umwait', 4],
  ['f30faef1', 'other', 0],
  ['0faef0', 'other', 0],
  ['0fc7f0', 'rdrand', 3],
  ['490fc7f7', 'rdrand', 4],
  ['0fc7f8', 'rdseed', 3],
  ['f30fc7f8', 'rdpid', 4],
  ['9c', 'pushf', 1],
  ['669d', 'popf', 2],
  ['48cf', 'iret', 2],
  ['66cf', 'iret', 2],
  ['8ed0', 'movSs', 2],
  ['8ed8', 'other', 0],
  ['0fae27', 'xsave', 3],
  ['0fae642440', 'xsave', 5],
  ['480fae27', 'xsave', 4],
  ['0fc76340', 'xsavec', 4],
  ['480fc7a42440010000', 'xsavec', 9],
  ['0fae6b40', 'xrstor', 4],
  ['0faeab40000000', 'xrstor', 7],
  ['0fae37', 'xsaveopt', 3],
  ['660fae37', 'other', 0],
  ['0faee8', 'other', 0],
  ['0fc72f', 'xsaves', 3],
  ['0fc71f', 'xrstors', 3],
  ['0fc70f', 'other', 0],
  ['0f0100', 'sgdt', 3],
  ['0f010c25f8ffffff', 'sidt', 8],
  ['0f01c0', 'other', 0],
  ['0f01e0', 'smsw', 3],
  ['66490f01e1', 'smsw', 5],
  ['0f0120', 'smsw', 3],
  ['0f00c0', 'sldt', 3],
  ['0f0008', 'str', 3],
  ['0f00d0', 'other', 0],
  ['7405', 'conditionalBranch', 2],
  ['2e7405', 'conditionalBranch', 3],
  ['e305', 'conditionalBranch', 2],
  ['67e305', 'conditionalBranch', 3],
  ['e2fe', 'conditionalBranch', 2],
  ['f20f8500000000', 'conditionalBranch', 7],
  ['0f8f00000000', 'conditionalBranch', 6],
  ['417405', 'conditionalBranch', 3],
  ['f07405', 'other', 0],
  ['eb05', 'other', 0],
  ['c5f877', 'other', 0],
];

describe('InstructionDecoder', () => {
  it.each(table)('%s is %s', (text, name, length) => {
    const decoder = new InstructionDecoder();
    const bytes = bytesOf(text);
    expect(nameOf[decoder.decode(bytes)]).toBe(name);
    if (length > 0) expect(decoder.length).toBe(length);
    expect(isConditionalBranch(bytes, 0)).toBe(name === 'conditionalBranch');
  });

  it('takes nothing from beyond the end', () => {
    const decoder = new InstructionDecoder();
    for (const [text] of table) {
      const bytes = bytesOf(`${text}ffff`);
      const whole = decoder.decode(bytes);
      if (whole === Insn.other) continue;
      const { length } = decoder;
      for (let end = 0; end < length; end++) expect(decoder.decode(bytes, 0, end)).toBe(Insn.other);
      expect(decoder.decode(bytes, 0, length)).toBe(whole);
    }
  });

  it('refuses instructions longer than 15 bytes', () => {
    const decoder = new InstructionDecoder();
    const [fits, tooLong] = [bytesOf('66'.repeat(13) + '0f31'), bytesOf('66'.repeat(14) + '0f31')];
    expect(decoder.decode(fits)).toBe(Insn.rdtsc);
    expect(decoder.decode(tooLong)).toBe(Insn.other);
    expect(isConditionalBranch(bytesOf('2e'.repeat(13) + '7400'), 0)).toBe(true);
    expect(isConditionalBranch(bytesOf('2e'.repeat(14) + '7400'), 0)).toBe(false);
    expect(isConditionalBranch(bytesOf('2e'.repeat(60)), 0)).toBe(false);
  });

  it('gives operands of INT and RDRAND', () => {
    const decoder = new InstructionDecoder();
    decoder.decode(bytesOf('cd80'));
    expect(decoder.immediate).toBe(0x80);
    decoder.decode(bytesOf('490fc7f7'));
    expect([decoder.immediate, decoder.wide, decoder.operand16]).toEqual([15, true, false]);
    decoder.decode(bytesOf('660fc7f1'));
    expect([decoder.immediate, decoder.wide, decoder.operand16]).toEqual([1, false, true]);
    decoder.decode(bytesOf('490f00c9'));
    expect([decoder.immediate, decoder.wide, decoder.hasMemory]).toEqual([9, true, false]);
  });
});

describe('compared with iced-x86', () => {
  it('agrees on random bytes', () => {
    const random = randomSource(0x2545_f491);
    const ours = new InstructionDecoder();
    const bytes = new Uint8Array(1 << 20);
    // Half of the bytes come from what the decoder knows, or random bytes would hardly ever reach it.
    const known = bytesOf(
      '0f0f0f0fc7aec7ae01050f31a2d0f9f1fce3e274eb669c8e26363e2e64656766f2f3f0404849414f27372f6f67c4c5525378bcbd0f0f0f01c7aef2f366eeeff1f9',
    );
    for (let i = 0; i < bytes.length; i++) {
      const value = random();
      bytes[i] = value & 0x10000 ? known[(value >>> 17) % known.length] : value & 0xff;
    }
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    const iced = new Instruction();
    const seen = new Set<Insn>();
    const wrong: string[] = [];
    for (let offset = 0; offset < bytes.length - 16; offset++) {
      decoder.position = offset;
      decoder.decodeOut(iced);
      const difference = disagreement(ours, iced, bytes, offset);
      if (difference) wrong.push(difference);
      seen.add(ours.kind);
    }
    decoder.free();
    iced.free();
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(seen.size).toBe(Object.keys(Insn).length);
  });

  const libc = '/lib/x86_64-linux-gnu/libc.so.6';
  it.skipIf(!existsSync(libc))('agrees on every instruction of libc', () => {
    const bytes = textSection(readFileSync(libc));
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    const iced = new Instruction();
    const ours = new InstructionDecoder();
    const wrong: string[] = [];
    let branches = 0;
    for (let offset = 0; offset < bytes.length; offset = decoder.position) {
      decoder.position = offset;
      decoder.decodeOut(iced);
      const difference = disagreement(ours, iced, bytes, offset);
      if (difference) wrong.push(difference);
      if (ours.kind === Insn.conditionalBranch) branches++;
    }
    decoder.free();
    iced.free();
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(branches).toBeGreaterThan(10_000);
  });

  it('computes the same effective addresses', () => {
    const random = randomSource(0x1234_5678);
    const registers = newRegisters();
    const bytes = new Uint8Array(16);
    const ours = new InstructionDecoder();
    const values = new Map<number, bigint>();
    for (let slot = 0; slot < REGISTER_COUNT; slot++) {
      const value = slot % 5 === 0 ? 0xffff_ffff_ffff_ff00n : (BigInt(random()) << 17n) ^ BigInt(random());
      values.set(slot, BigInt.asUintN(64, value));
      setRegister(registers, slot, values.get(slot)!);
    }
    for (let round = 0; round < 20_000; round++) {
      for (let i = 0; i < bytes.length; i++) bytes[i] = random();
      let at = 0;
      for (const prefix of [0x64, 0x65, 0x67]) if (random() % 3 === 0) bytes[at++] = prefix;
      bytes[at++] = 0x40 | (random() & 15);
      bytes.set([0x0f, 0xae, ((random() & 0xc7) % 0xc0) | 0x20], at);
      if (!isXsaveFamily(ours.decode(bytes))) continue;
      const gva = ours.effectiveAddress(registers);
      const address = (BigInt(ours.addressHigh) << 32n) | BigInt(ours.addressLow);
      const expected = icedAddress(bytes, values);
      expect(address, Buffer.from(bytes).toString('hex')).toBe(expected);
      expect(gva).toBe(expected < 0x8000_0000_0000n ? Number(expected) : -1);
    }
  });
});

function icedAddress(bytes: Uint8Array, values: Map<number, bigint>): bigint {
  const rip = values.get(Reg.rip)!;
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = rip;
  const instruction = decoder.decode();
  const value = (register: Register): bigint => {
    if (register === Register.None || register === Register.RIP || register === Register.EIP) return 0n;
    const name = Register[register].toLowerCase();
    const wide = name.replace(/^e/, 'r').replace(/d$/, '') as keyof typeof Reg;
    return values.get(Reg[wide])!;
  };
  expect(instruction.op0Kind).toBe(OpKind.Memory);
  const { memoryBase, memoryIndex } = instruction;
  let address = value(memoryBase) + value(memoryIndex) * BigInt(instruction.memoryIndexScale);
  address += instruction.memoryDisplacement;
  if (hasPrefix67(bytes)) address = BigInt.asUintN(32, address);
  const { memorySegment } = instruction;
  if (memorySegment === Register.FS) address += values.get(Reg.fs_base)!;
  if (memorySegment === Register.GS) address += values.get(Reg.gs_base)!;
  instruction.free();
  decoder.free();
  return BigInt.asUintN(64, address);
}

/** Whether 67 is among the prefixes (those that the test puts in front). */
function hasPrefix67(bytes: Uint8Array): boolean {
  for (const byte of bytes) {
    if (byte === 0x67) return true;
    if (byte !== 0x64 && byte !== 0x65) return false;
  }
  return false;
}

/** The contents of .text of a valid ELF64 file. */
function textSection(file: Buffer): Uint8Array {
  const [table, count] = [Number(file.readBigUInt64LE(40)), file.readUInt16LE(60)];
  const header = (index: number): Buffer => file.subarray(table + 64 * index, table + 64 * (index + 1));
  const names = Number(header(file.readUInt16LE(62)).readBigUInt64LE(24));
  for (let index = 0; index < count; index++) {
    const section = header(index);
    const name = names + section.readUInt32LE(0);
    if (file.toString('latin1', name, name + 6) !== '.text\0') continue;
    const start = Number(section.readBigUInt64LE(24));
    return new Uint8Array(file.subarray(start, start + Number(section.readBigUInt64LE(32))));
  }
  throw new Error('no .text');
}

describe('isRepeatedString', () => {
  it.each(['f3 a4', 'f3 48 ab', 'f2 ae', '66 f3 a5', 'f3 6d'])('sees %s', (text) => {
    expect(isRepeatedString(bytesOf(text))).toBe(true);
  });

  it.each(['a4', '48 ab', 'f3 90', 'f3 0f b8 c0', 'f3 c3', 'f3', ''])('does not take %s for one', (text) => {
    expect(isRepeatedString(bytesOf(text))).toBe(false);
  });
});
