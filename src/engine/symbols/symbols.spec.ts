import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { FileReader } from './elf.js';
import { ElfFile } from './elf.js';
import { formatSymbol, loadBias, Symbolizer } from './symbolizer.js';

const readerOf = (bytes: Uint8Array): FileReader => ({
  size: bytes.length,
  read(offset, into) {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  },
});

const TEXT = 0x1000;
const LINKED = 0x401000;

interface TestSymbol {
  name: string;
  address: number;
  size: number;
  info: number;
  section?: number;
}

const GLOBAL_FUNCTION = 0x12;
const LOCAL_FUNCTION = 0x02;
const GLOBAL_LABEL = 0x10;

const symbols: TestSymbol[] = [
  { name: 'outer', address: LINKED, size: 0x100, info: GLOBAL_FUNCTION },
  { name: '__outer', address: LINKED, size: 0x100, info: GLOBAL_FUNCTION },
  { name: 'inner', address: LINKED + 0x40, size: 0x10, info: LOCAL_FUNCTION },
  { name: 'label_inside', address: LINKED + 0x60, size: 0, info: GLOBAL_LABEL },
  { name: 'versioned@@V_1.0', address: LINKED + 0x200, size: 8, info: GLOBAL_FUNCTION },
  { name: 'chosen', address: LINKED + 0x280, size: 8, info: 0x1a },
  { name: 'label', address: LINKED + 0x300, size: 0, info: GLOBAL_LABEL },
  { name: 'undefined_one', address: 0, size: 0, info: GLOBAL_FUNCTION, section: 0 },
  { name: 'section_or_tls', address: LINKED + 0x80, size: 0x80, info: 0x16 },
];

/** A program with two segments, a build id and a symbol table; as a linker would make it from `symbols`. */
function makeElf(): Buffer {
  const file = Buffer.alloc(0x3000);
  const strings = Buffer.from(`\0${symbols.map(({ name }) => name).join('\0')}\0`);
  const sectionNames = Buffer.from('\0.symtab\0.strtab\0.shstrtab\0.text\0');
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(BigInt(LINKED), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeBigUInt64LE(0x2000n, 40);
  for (const [at, value] of [[54, 56], [56, 3], [58, 64], [60, 5], [62, 3]]) file.writeUInt16LE(value, at); // prettier-ignore
  const segment = (
    index: number,
    type: number,
    flags: number,
    offset: number,
    address: number,
    size: number,
  ): void => {
    file.writeUInt32LE(type, 64 + 56 * index);
    file.writeUInt32LE(flags, 68 + 56 * index);
    [offset, address, address, size, size].forEach((value, i) =>
      file.writeBigUInt64LE(BigInt(value), 72 + 56 * index + 8 * i),
    );
  };
  segment(0, 1, 4, 0, LINKED - TEXT, 0x800);
  segment(1, 1, 5, TEXT, LINKED, 0x400);
  segment(2, 4, 4, 0x700, LINKED - TEXT + 0x700, 36);
  file.set([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0], 0x700);
  file.fill(0xab, 0x710, 0x724);
  const section = (
    index: number,
    name: string,
    type: number,
    offset: number,
    size: number,
    link = 0,
  ): void => {
    const at = 0x2000 + 64 * index;
    file.writeUInt32LE(sectionNames.indexOf(`${name}\0`), at);
    file.writeUInt32LE(type, at + 4);
    file.writeBigUInt64LE(BigInt(type === 1 ? LINKED : 0), at + 16);
    file.writeBigUInt64LE(BigInt(offset), at + 24);
    file.writeBigUInt64LE(BigInt(size), at + 32);
    file.writeUInt32LE(link, at + 40);
  };
  section(1, '.symtab', 2, 0x1800, 24 * symbols.length, 2);
  section(2, '.strtab', 3, 0x1c00, strings.length);
  section(3, '.shstrtab', 3, 0x1f00, sectionNames.length);
  section(4, '.text', 1, TEXT, 0x400);
  file.set(strings, 0x1c00);
  file.set(sectionNames, 0x1f00);
  symbols.forEach((symbol, index) => {
    const at = 0x1800 + 24 * index;
    file.writeUInt32LE(strings.indexOf(`\0${symbol.name}\0`) + 1, at);
    file.writeUInt8(symbol.info, at + 4);
    file.writeUInt16LE(symbol.section ?? 4, at + 6);
    file.writeBigUInt64LE(BigInt(symbol.address), at + 8);
    file.writeBigUInt64LE(BigInt(symbol.size), at + 16);
  });
  return file;
}

describe('ElfFile', () => {
  const elf = ElfFile.open(readerOf(makeElf()))!;

  it('reads segments, sections and the build id', () => {
    expect(elf.entry).toBe(LINKED);
    expect(elf.segments.map(({ type, offset }) => [type, offset])).toEqual([
      [1, 0],
      [1, TEXT],
      [4, 0x700],
    ]);
    expect(elf.sections.map(({ name }) => name)).toEqual(['', '.symtab', '.strtab', '.shstrtab', '.text']);
    expect(elf.sectionAt(LINKED + 5)?.name).toBe('.text');
    expect(elf.buildId).toBe('ab'.repeat(20));
  });

  const places: [number, string | null][] = [
    [LINKED, 'outer'],
    [LINKED + 0x3f, 'outer'],
    [LINKED + 0x40, 'inner'],
    [LINKED + 0x4f, 'inner'],
    [LINKED + 0x50, 'outer'],
    [LINKED + 0x68, 'outer'],
    // A label has no end.
    [LINKED + 0x100, 'label_inside'],
    [LINKED + 0x207, 'versioned'],
    [LINKED + 0x208, null],
    [LINKED + 0x310, 'label'],
    [LINKED + 0x300 + 4096, null],
    [LINKED - 1, null],
    [0, null],
  ];
  it.each(places)('symbolAt(%i) is %s', (address, name) => {
    expect(elf.symbols.symbolAt(address)?.name ?? null).toBe(name);
  });

  it('finds symbols by name', () => {
    expect(elf.symbols.symbolByName('versioned')).toEqual({
      name: 'versioned',
      address: LINKED + 0x200,
      size: 8,
    });
    expect(elf.symbols.symbolByName('inner')?.address).toBe(LINKED + 0x40);
    expect(elf.symbols.symbolByName('chosen')).toMatchObject({ address: LINKED + 0x280, isResolver: true });
    for (const name of ['undefined_one', 'inne', 'innerx', '', 'section_or_tls']) {
      expect(elf.symbols.symbolByName(name)).toBeNull();
    }
  });

  it('takes nothing else for an ELF64 file', () => {
    const text = readerOf(Buffer.from('#!/bin/sh\n'));
    const [narrow, arm] = [makeElf(), makeElf()];
    narrow[4] = 1;
    arm[18] = 183;
    for (const reader of [text, readerOf(new Uint8Array(0)), readerOf(narrow), readerOf(arm)]) {
      expect(ElfFile.open(reader)).toBeNull();
    }
  });

  it('survives any damage', () => {
    let seed = 12345;
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % limit;
    };
    const sound = makeElf();
    const areas = [[0, 64], [64, 232], [0x700, 0x724], [0x1800, 0x1900], [0x1c00, 0x1d00], [0x2000, 0x2140]]; // prettier-ignore
    for (let round = 0; round < 4000; round++) {
      const file = Buffer.from(sound);
      for (let i = 0; i < 4; i++) {
        const [start, end] = areas[random(areas.length)];
        file[start + random(end - start)] = random(2) ? 0xff : random(256);
      }
      const damaged = ElfFile.open(readerOf(random(3) ? file : file.subarray(0, random(file.length))));
      if (!damaged) continue;
      void [damaged.buildId, damaged.sections, damaged.sectionAt(LINKED)];
      damaged.symbols.symbolAt(LINKED + 0x45);
      damaged.symbols.symbolByName('inner');
      loadBias(damaged, { start: 0x7f00_0000_0000, fileOffset: TEXT, name: '' });
    }
  });
});

describe('Symbolizer', () => {
  const file = makeElf();
  let opened = 0;
  const symbolizer = new Symbolizer((name) => {
    opened++;
    if (name === 'broken') throw new Error('cannot be read');
    return name === 'program' ? readerOf(file) : null;
  });
  const text = { start: 0x7f12_3456_7000, fileOffset: TEXT, name: 'program' };

  it('symbolizes addresses in a mapping at any load address', () => {
    const hit = symbolizer.symbolAt(text, text.start + 0x45)!;
    expect(hit).toEqual({ name: 'inner', offset: 5, address: text.start + 0x40, size: 0x10 });
    expect(formatSymbol(hit)).toBe('inner+0x5');
    expect(formatSymbol({ ...hit, offset: 0 })).toBe('inner');
    expect(symbolizer.symbolByName(text, 'outer')?.address).toBe(text.start);
    expect(symbolizer.buildId('program')).toBe('ab'.repeat(20));
    expect(opened).toBe(1);
  });

  it('prefers the segment that begins at the mapping', () => {
    const elf = ElfFile.open(readerOf(file))!;
    expect(loadBias(elf, { start: LINKED, fileOffset: TEXT, name: '' })).toBe(0);
    expect(loadBias(elf, { start: LINKED - TEXT, fileOffset: 0, name: '' })).toBe(0);
    expect(loadBias(elf, { start: LINKED, fileOffset: 0x2000, name: '' })).toBeNull();
  });

  it('has no symbols for what cannot be opened', () => {
    for (const name of ['broken', 'broken', 'unknown']) {
      expect(symbolizer.symbolAt({ ...text, name }, text.start)).toBeNull();
      expect(symbolizer.symbolByName({ ...text, name }, 'outer')).toBeNull();
    }
    expect(symbolizer.symbolAt({ ...text, fileOffset: 0x10000 }, text.start)).toBeNull();
  });
});

const libc = '/lib/x86_64-linux-gnu/libc.so.6';
describe.skipIf(!existsSync(libc))('libc', () => {
  const elf = ElfFile.open(readerOf(existsSync(libc) ? readFileSync(libc) : new Uint8Array(0)))!;

  it('has its functions', () => {
    const malloc = elf.symbols.symbolByName('malloc')!;
    expect(elf.symbols.symbolAt(malloc.address + malloc.size - 1)).toEqual(malloc);
    expect(elf.sectionAt(malloc.address)?.name).toBe('.text');
    expect(elf.buildId).toMatch(/^[0-9a-f]{40}$/);
  });

  const hasNm = ((): boolean => {
    try {
      execFileSync('nm', ['--version']);
      return true;
    } catch {
      return false;
    }
  })();
  it.skipIf(!hasNm)('agrees with nm on every function', () => {
    const lines = execFileSync('nm', ['-D', '--defined-only', libc], { encoding: 'utf8' }).trim().split('\n');
    const wrong: string[] = [];
    for (const line of lines) {
      const [address, type, versioned] = line.split(' ');
      if (!'TtWw'.includes(type)) continue;
      const found = elf.symbols.symbolAt(parseInt(address, 16));
      if (found?.address !== parseInt(address, 16)) wrong.push(`${versioned}: ${found?.name}`);
    }
    expect(lines.length).toBeGreaterThan(1000);
    expect(wrong).toEqual([]);
  });
});
