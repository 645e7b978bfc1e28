import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { PAGE_SIZE, type Gva } from '../../base/address.js';
import { Reg } from '../../base/registers.js';
import { Fix, LEAVE_MASK, LEAVE_SHIFT, Leave, REGISTER_SHIFT } from './layout.js';
import { translate } from './translate.js';
import type { Source, Unit } from './unit.js';

const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = createRequire(import.meta.url)(
  'iced-x86',
) as typeof Iced;

const PAGE = 0x40_1000 as Gva;
const AT = 0x1000_2000;

function unitOf(code: readonly number[], change: Partial<Source> = {}): Unit {
  const bytes = new Uint8Array(PAGE_SIZE + 15).fill(0xf4);
  bytes.set(code, change.entry ?? 0);
  return translate({
    page: PAGE,
    bytes,
    entry: 0,
    at: AT,
    area: AT - 0x2000,
    known: () => 0,
    stopAt: () => null,
    hides: null,
    watched: null,
    loops: true,
    ...change,
  });
}

interface Line {
  text: string;
  /** The program's instruction that it replaces, from the page on, and bits of Fix. */
  origin: number;
  fix: number;
  leave: number;
}

function linesOf({ code }: Unit): Line[] {
  const formatter = new Formatter(FormatterSyntax.Intel);
  return code.offsets.map((offset, index) => {
    const decoder = new Decoder(64, code.bytes.subarray(offset), DecoderOptions.None);
    decoder.ip = BigInt(code.start + offset);
    const instruction = decoder.decode();
    const line = {
      text: formatter.format(instruction),
      origin: code.origins[index] - PAGE,
      fix: code.fixes[index] & ((1 << LEAVE_SHIFT) - 1),
      leave: (code.fixes[index] >> LEAVE_SHIFT) & LEAVE_MASK,
    };
    instruction.free();
    decoder.free();
    return line;
  });
}

const textsOf = (unit: Unit): string[] => linesOf(unit).map(({ text }) => text);

/** Offsets of the instructions that loops begin with which count in a register. */
function loopHeads(unit: Unit): number[] {
  const lines = linesOf(unit);
  return lines
    .filter(({ fix }, index) => fix === Fix.spare && !(lines[index - 1].fix & Fix.spare))
    .map(({ origin }) => origin);
}

describe('translate', () => {
  it('copies plain instructions, and moves displacements that are relative to rip', () => {
    // add eax, 5; mov dword [rip+0x10], 7; lea rax, [rip-7]; hlt; syscall
    const unit = unitOf([
      ...[0x83, 0xc0, 0x05, 0xc7, 0x05, 0x10, 0, 0, 0, 0x07, 0, 0, 0],
      ...[0x48, 0x8d, 0x05, 0xf9, 0xff, 0xff, 0xff, 0xf4, 0x0f, 0x05],
    ]);
    expect(textsOf(unit)).toEqual([
      'add eax,5',
      'mov dword ptr [40101Dh],7',
      'lea rax,[40100Dh]',
      'hlt',
      'jmp 0000000000401015h',
    ]);
    expect(linesOf(unit).map(({ origin }) => origin)).toEqual([0, 3, 13, 20, 21]);
  });

  it('counts a conditional branch before it, and knows how to undo that at each instruction', () => {
    const lines = linesOf(unitOf([0x75, 0xfe])); // jne to itself
    expect(lines.slice(0, 10).map(({ text }) => text.replace(/\[.*\]/, '[]'))).toEqual([
      'mov [],rcx',
      'mov rcx,[]',
      expect.stringMatching(/^jrcxz/),
      'lea rcx,[]',
      'mov [],rcx',
      'mov rcx,[]',
      'jne 0000000010002000h',
      expect.stringMatching(/^jmp short/),
      'mov rcx,[]',
      'int3',
    ]);
    expect(lines.slice(0, 10).map(({ fix }) => fix)).toEqual([
      ...[Fix.none, Fix.none, Fix.rcx, Fix.rcx, Fix.rcx, Fix.rcx | Fix.uncount, Fix.uncount],
      ...[Fix.none, Fix.rcx, Fix.none],
    ]);
    expect(lines.slice(0, 10).map(({ origin }) => origin)).toEqual([0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
    expect(lines[9].leave).toBe(Leave.limit);
  });

  it('counts a branch behind a comparison before that, by one instruction and one way out', () => {
    // cmp eax, 5; jne over hlt; hlt
    const unit = unitOf([0x83, 0xf8, 0x05, 0x75, 0x01, 0xf4, 0xf4]);
    const lines = linesOf(unit).map(({ text, ...line }) => ({ text: text.replace(/\[.*\]/, '[]'), ...line }));
    expect(lines.slice(0, 4)).toEqual([
      { text: 'dec qword ptr []', origin: 0, fix: Fix.none, leave: 0 },
      { text: expect.stringMatching(/^js /), origin: 0, fix: Fix.uncount | Fix.flags, leave: 0 },
      { text: 'cmp eax,5', origin: 0, fix: Fix.uncount | Fix.flags, leave: 0 },
      { text: expect.stringMatching(/^jne /), origin: 3, fix: Fix.uncount, leave: 0 },
    ]);
    const wayOut = lines.findIndex(({ leave }) => leave === Leave.limit);
    expect(lines.slice(wayOut - 1, wayOut + 1)).toEqual([
      { text: 'cmp eax,5', origin: 0, fix: Fix.uncount | Fix.flags, leave: 0 },
      { text: 'int3', origin: 3, fix: Fix.uncount, leave: Leave.limit },
    ]);
    expect([...unit.starts.keys()]).not.toContain(3);
  });

  it('counts behind a comparison with memory, which is then repeated', () => {
    // cmp dword [rip+0x10], 5; jne
    const lines = linesOf(unitOf([0x83, 0x3d, 0x10, 0, 0, 0, 0x05, 0x75, 0xf7]));
    expect(lines.slice(0, 5).map(({ text }) => text.replace(/\[(?!40).*\]/, '[]'))).toEqual([
      'cmp dword ptr [401017h],5',
      'dec qword ptr []',
      expect.stringMatching(/^js /),
      'cmp dword ptr [401017h],5',
      expect.stringMatching(/^jne /),
    ]);
    expect(lines.slice(0, 5).map(({ origin }) => origin)).toEqual([0, 7, 7, 7, 7]);
  });

  it('does not make a pair of them where the branch is a stop', () => {
    const stopAt = (address: Gva) => (address === PAGE + 3 ? [] : null);
    const texts = textsOf(unitOf([0x83, 0xf8, 0x05, 0x75, 0xfb], { stopAt }));
    expect(texts.slice(0, 2)).toEqual(['cmp eax,5', 'int3']);
  });

  it('counts the turns of a loop in a register that it does not use, four at a time', () => {
    // 1: sub ecx, 1; lea r8, [r8+2]; jne 1b; ret
    const unit = unitOf([0x83, 0xe9, 0x01, 0x4d, 0x8d, 0x40, 0x02, 0x75, 0xf7, 0xc3]);
    const lines = linesOf(unit).map(({ text, ...line }) => ({
      text: text.replace(/\[10.*\]/, '[]'),
      ...line,
    }));
    const start = lines.findIndex(({ fix }) => fix & Fix.spare) - 1;
    const counted = Fix.spare | Fix.counter;
    expect(lines.slice(start, start + 10)).toEqual([
      { text: 'mov [],r9', origin: 0, fix: Fix.none, leave: 0 },
      { text: 'mov r9d,0', origin: 0, fix: Fix.spare, leave: 0 },
      { text: 'dec r9', origin: 0, fix: counted, leave: 0 },
      { text: expect.stringMatching(/^jle /), origin: 0, fix: counted | Fix.uncount | Fix.flags, leave: 0 },
      { text: 'sub ecx,1', origin: 0, fix: counted | Fix.uncount | Fix.flags, leave: 0 },
      { text: 'lea r8,[r8+2]', origin: 3, fix: counted | Fix.uncount, leave: 0 },
      { text: expect.stringMatching(/^je /), origin: 7, fix: counted | Fix.uncount, leave: 0 },
      { text: 'sub ecx,1', origin: 0, fix: counted, leave: 0 },
      { text: 'lea r8,[r8+2]', origin: 3, fix: counted, leave: 0 },
      { text: 'lea r9,[r9-1]', origin: 7, fix: counted, leave: 0 },
    ]);
    const registers = new Set(
      unit.code.fixes.filter((fix) => fix & Fix.spare).map((fix) => fix >> REGISTER_SHIFT),
    );
    expect([...registers]).toEqual([Reg.r9]);
  });

  it.each([
    ['a call in it', [0xe8, 0xfb, 0x1f, 0, 0, 0x83, 0xe9, 0x01, 0x75, 0xf6]],
    ['flags that are of before it', [0x48, 0x8d, 0x49, 0x01, 0x75, 0xfa]],
  ])('counts in memory in a loop with %s', (_, code) => {
    expect(loopHeads(unitOf(code))).toEqual([]);
  });

  it('counts in memory where runs are short', () => {
    const loop = [0x83, 0xe9, 0x01, 0x4d, 0x8d, 0x40, 0x02, 0x75, 0xf7, 0xc3];
    expect(loopHeads(unitOf(loop))).toHaveLength(1);
    expect(loopHeads(unitOf(loop, { loops: false }))).toEqual([]);
  });

  it('counts in memory in a loop with another in it', () => {
    // 1: nop; 2: sub ecx, 1; jne 2b; sub edx, 1; jne 1b
    const code = [0x90, 0x83, 0xe9, 0x01, 0x75, 0xfb, 0x83, 0xea, 0x01, 0x75, 0xf5];
    expect(loopHeads(unitOf(code))).toEqual([1]);
  });

  it('counts in memory where a loop is to be left at an address, or memory is watched', () => {
    const code = [0x90, 0x83, 0xe9, 0x01, 0x75, 0xfa];
    expect(loopHeads(unitOf(code))).toEqual([0]);
    expect(loopHeads(unitOf(code, { stopAt: (address) => (address === PAGE + 1 ? [] : null) }))).toEqual([]);
    const watched = { pieces: [{ address: 0x60_0000 as Gva, length: 8 }], predicates: [] };
    expect(loopHeads(unitOf(code, { watched }))).toEqual([]);
  });

  it('keeps LOOP and JRCXZ, which have short displacements only', () => {
    const unit = unitOf([0xe2, 0xfe, 0x67, 0xe3, 0x7d]);
    const texts = textsOf(unit);
    expect(texts).toContainEqual(expect.stringMatching(/^loop /));
    expect(texts).toContainEqual(expect.stringMatching(/^jecxz /));
    expect(unit.exits.map(({ target }) => target - PAGE)).not.toContain(0);
    expect([...unit.starts.keys()]).toContain(5 + 0x7d);
  });

  it('pushes the return address of the program, and leaves to where there is no copy yet', () => {
    const unit = unitOf([0xe8, 0xfb, 0x1f, 0, 0]); // call page + 0x2000
    const lines = linesOf(unit);
    expect(lines[0]).toMatchObject({ origin: 0, fix: Fix.none });
    expect(lines[0].text).toMatch(/^push qword ptr/);
    expect(lines[1]).toMatchObject({ origin: 0x2000, fix: Fix.none });
    const view = new DataView(unit.code.bytes.buffer, 0, unit.code.length);
    const pushed = unit.code.offsets[0] + 6 + view.getInt32(unit.code.offsets[0] + 2, true);
    expect(view.getBigUint64(pushed, true)).toBe(BigInt(PAGE + 5));
    const exit = unit.exits.find(({ target }) => target === PAGE + 0x2000);
    expect(view.getBigUint64(exit?.slot ?? 0, true)).toBe(BigInt(AT + (exit?.stub ?? 0)));
    expect(unit.returns).toEqual([5]);
    expect(unit.starts.get(5)).toBeGreaterThan(0);
  });

  it('copies calls whose size prefixes REX.W outweighs, as those for thread-local variables', () => {
    const unit = unitOf([0x66, 0x66, 0x48, 0xe8, 0xf8, 0x1f, 0, 0]);
    expect(linesOf(unit)[0].text).toMatch(/^push qword ptr/);
    expect(unit.exits.map(({ target }) => target)).toContain(PAGE + 0x2000);
    expect(unit.returns).toEqual([8]);
    expect(textsOf(unitOf([0x66, 0x48, 0xff, 0x15, 0x10, 0, 0, 0]))[1]).toBe('mov rcx,[401018h]');
  });

  it('loads the operand of an indirect transfer as it is', () => {
    expect(textsOf(unitOf([0xff, 0xe0]))[1]).toBe('mov rcx,rax');
    expect(textsOf(unitOf([0x41, 0xff, 0x54, 0xc4, 0x10]))[1]).toBe('mov rcx,[r12+rax*8+10h]');
    expect(textsOf(unitOf([0x64, 0xff, 0x14, 0x25, 0x08, 0, 0, 0]))[1]).toBe('mov rcx,fs:[8]');
    expect(textsOf(unitOf([0xff, 0x25, 0x10, 0, 0, 0]))[1]).toBe('mov rcx,[401016h]');
    expect(textsOf(unitOf([0x3e, 0xff, 0xd1]))[1]).toBe('mov rcx,rcx');
  });

  it('pops what a return pops, after the lookup', () => {
    const lines = linesOf(unitOf([0xc2, 0x10, 0x00]));
    expect(lines[1].text).toBe('mov rcx,[rsp]');
    expect(lines.at(-2)).toMatchObject({ text: 'lea rsp,[rsp+18h]', origin: 0, fix: Fix.none });
    expect(lines.at(-1)).toMatchObject({ fix: Fix.target });
    expect(lines.filter(({ leave }) => leave === Leave.indirect)).toHaveLength(1);
  });

  it.each([
    ['POPF with other prefixes', [0x48, 0x9d]],
    ['MOV SS', [0x8e, 0xd0]],
    ['a far return', [0xcb]],
    ['XBEGIN', [0xc7, 0xf8, 0, 0, 0, 0]],
    ['a branch with a size prefix', [0x66, 0x75, 0x00]],
    ['a call with a size prefix', [0x66, 0xe8, 0, 0, 0, 0]],
    ['a call with a size prefix behind REX.W, which then means nothing', [0x48, 0x66, 0xe8, 0, 0, 0, 0]],
    ['what does not decode', [0x06]],
    ['addresses relative to eip', [0x67, 0x8b, 0x05, 0, 0, 0, 0]],
  ])('does not copy %s', (_, code) => {
    const unit = unitOf(code);
    expect(linesOf(unit)[0]).toMatchObject({ text: 'int3', origin: 0, leave: Leave.odd });
    expect(unit.starts.get(0)).toBeLessThan(0);
  });

  it.each([
    [[0x9d], 'mov rcx,[rsp]', 'popfq'],
    [[0x66, 0x9d], 'movzx ecx,word ptr [rsp]', 'popf'],
  ])(
    'copies POPF (%j) where what it pops is usual, and leaves before any change otherwise',
    (code, load, pop) => {
      const lines = linesOf(unitOf(code));
      const end = lines.findIndex(({ text }) => text === pop);
      expect(lines[end]).toMatchObject({ origin: 0, fix: Fix.none });
      const out = lines.findIndex(({ text }) => text === 'int3');
      expect(lines[out]).toMatchObject({ origin: 0, fix: Fix.none, leave: Leave.odd });
      expect(lines.slice(0, end).filter(({ text }) => text.startsWith('jrcxz'))).toHaveLength(2);
      expect(lines[1]).toMatchObject({ text: load, fix: Fix.none });
    },
  );

  it('stops where it is asked to, and goes on behind that', () => {
    const stopAt = (address: Gva) => (address === PAGE + 1 ? [] : null);
    const unit = unitOf([0x90, 0x98, 0xc3], { stopAt });
    expect(linesOf(unit).slice(0, 3)).toMatchObject([
      { text: 'nop' },
      { text: 'int3', origin: 1, leave: Leave.stop },
      { text: 'cwde', origin: 1, leave: 0 },
    ]);
    expect(unit.starts.get(1)).toBe(-2);
    expect([...unit.passing]).toEqual([[1, 2]]);
  });

  it('does not go on behind a stop with what is executed by itself', () => {
    const unit = unitOf([0xcb], { stopAt: () => [] });
    expect(linesOf(unit)).toMatchObject([{ text: 'int3', origin: 0, leave: Leave.stop }]);
    expect(unit.passing.size).toBe(0);
  });

  it('has instructions of the XSAVE family, and XGETBV, raise #UD, if asked to', () => {
    const code = [0x0f, 0xae, 0x20];
    expect(textsOf(unitOf(code))[0]).toBe('xsave [rax]');
    const hides = { xsave: true, cpuid: false };
    expect(textsOf(unitOf(code, { hides }))[0]).toBe('ud2');
    expect(textsOf(unitOf([0x0f, 0x01, 0xd0], { hides }))[0]).toBe('ud2');
    expect(textsOf(unitOf([0x0f, 0xa2], { hides }))[0]).toBe('cpuid');
  });

  it('has CPUID raise #UD, if asked to', () => {
    const hides = { xsave: false, cpuid: true };
    expect(textsOf(unitOf([0x0f, 0xa2], { hides }))[0]).toBe('ud2');
    expect(textsOf(unitOf([0x0f, 0xae, 0x20], { hides }))[0]).toBe('xsave [rax]');
  });

  it('ends with the page, and says where an instruction goes on in the next', () => {
    const entry = PAGE_SIZE - 2;
    const whole = unitOf([0x90, 0x90], { entry });
    expect(whole.straddles).toBe(false);
    expect(whole.exits.map(({ target }) => target)).toEqual([PAGE + PAGE_SIZE]);
    const over = unitOf([0x90, 0x83, 0xc0, 0x05], { entry });
    expect(over.straddles).toBe(true);
    expect(over.exits.map(({ target }) => target)).toEqual([PAGE + PAGE_SIZE + 2]);
  });

  it('goes to copies that are there already', () => {
    const known = (offset: number): number => (offset === 2 ? 0x1000_0100 : 0);
    expect(textsOf(unitOf([0x90, 0x90], { known }))).toEqual([...['nop', 'nop', 'jmp 0000000010000100h']]);
  });

  it('makes no more than a piece of a long page at once', () => {
    const unit = unitOf(new Array<number>(PAGE_SIZE).fill(0x90));
    expect(unit.starts.size).toBeLessThan(600);
    expect(unit.exits).toHaveLength(1);
  });
});
