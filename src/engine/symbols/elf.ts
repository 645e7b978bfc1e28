/**
 * ELF64 little-endian files: segments, sections, build id, symbol tables (System V gABI, chapters 4 and 5).
 *
 * Files come from traces and are not to be trusted. Every table is bounds-checked and bounded in
 * size; inconsistent parts are treated as absent.
 */

import { readName, SymbolTable } from './symbol-table.js';

/** A source of bytes: a trace's backing file, a file of this machine, memory. */
export interface FileReader {
  readonly size: number;
  /** Reads up to `into.length` bytes at `offset`; returns how many, 0 past the end. */
  read(offset: number, into: Uint8Array): number;
}

export interface ElfSegment {
  /** PT_LOAD is 1, PT_NOTE 4. */
  readonly type: number;
  /** PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  /** Index of the string table of a symbol table. */
  readonly link: number;
}

export const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_NOBITS = 8;
const SHT_DYNSYM = 11;
const NT_GNU_BUILD_ID = 3;

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const SECTION_BYTES = 64;
/** Larger symbol or string tables than this are ignored; Firefox's libxul needs 60 MB with full symbols. */
const MAX_TABLE_BYTES = 128 << 20;
const MAX_NOTE_BYTES = 64 << 10;

/** Bytes [offset, offset + size) or null if the file does not have them all. */
function readExactly(reader: FileReader, offset: number, size: number): DataView | null {
  if (!(offset >= 0 && size >= 0 && offset + size <= reader.size)) return null;
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size;) {
    const count = reader.read(offset + done, bytes.subarray(done));
    if (count <= 0) return null;
    done += count;
  }
  return new DataView(bytes.buffer);
}

/** A u64 as a number; NaN when it is not exact, which fails every bounds check. */
function readAddress(view: DataView, offset: number): number {
  const value = view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
  return Number.isSafeInteger(value) ? value : NaN;
}

const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export class ElfFile {
  private cachedSections: readonly ElfSection[] | null = null;
  private cachedSymbols: SymbolTable | null = null;
  private cachedBuildId: string | null | undefined;

  private constructor(
    private readonly reader: FileReader,
    private readonly header: DataView,
    /** Program headers in file order; broken ones left out. */
    readonly segments: readonly ElfSegment[],
  ) {}

  /** Null unless the file is a little-endian ELF64 of x86-64 with program headers that can be read. */
  static open(reader: FileReader): ElfFile | null {
    const header = readExactly(reader, 0, HEADER_BYTES);
    if (header?.getUint32(0, false) !== 0x7f45_4c46) return null;
    const [fileClass, encoding, machine] = [
      header.getUint8(4),
      header.getUint8(5),
      header.getUint16(18, true),
    ];
    if (fileClass !== 2 || encoding !== 1 || machine !== 62) return null;
    const count = header.getUint16(56, true);
    if (header.getUint16(54, true) !== SEGMENT_BYTES && count > 0) return null;
    const table = readExactly(reader, readAddress(header, 32), count * SEGMENT_BYTES);
    return table && new ElfFile(reader, header, parseSegments(table, count));
  }

  /** e_type: 2 for a program at fixed addresses, 3 for a position-independent program, or a library. */
  get type(): number {
    return this.header.getUint16(16, true);
  }

  /** Where in the file the program headers are (e_phoff). */
  get headersAt(): number {
    return readAddress(this.header, 32);
  }

  /** How many there are (e_phnum), broken ones too. */
  get headerCount(): number {
    return this.header.getUint16(56, true);
  }

  /** e_entry, as linked. */
  get entry(): number {
    return readAddress(this.header, 24);
  }

  /** Section headers with their names; empty if there are none or they are broken. */
  get sections(): readonly ElfSection[] {
    return (this.cachedSections ??= this.readSections());
  }

  /** .symtab and .dynsym together; read on first use. */
  get symbols(): SymbolTable {
    return (this.cachedSymbols ??= this.readSymbols());
  }

  /** The GNU build id in lower-case hexadecimal, or null. */
  get buildId(): string | null {
    if (this.cachedBuildId === undefined) this.cachedBuildId = this.readBuildId();
    return this.cachedBuildId;
  }

  private readSections(): ElfSection[] {
    const count = this.header.getUint16(60, true);
    if (count === 0 || this.header.getUint16(58, true) !== SECTION_BYTES) return [];
    const table = readExactly(this.reader, readAddress(this.header, 40), count * SECTION_BYTES);
    if (!table) return [];
    const sections = Array.from({ length: count }, (_, index) => parseSection(table, index * SECTION_BYTES));
    const names = this.readTable(sections[this.header.getUint16(62, true)], SHT_STRTAB);
    return sections.map(({ nameOffset, ...section }) => ({
      ...section,
      name: names && nameOffset < names.byteLength ? readName(bytesOf(names), nameOffset) : '',
    }));
  }

  private readTable(section: Omit<ElfSection, 'name'> | undefined, type: number): DataView | null {
    if (section?.type !== type || !(section.size <= MAX_TABLE_BYTES)) return null;
    return readExactly(this.reader, section.offset, section.size);
  }

  private readSymbols(): SymbolTable {
    const table = new SymbolTable();
    for (const type of [SHT_SYMTAB, SHT_DYNSYM]) {
      const section = this.sections.find((candidate) => candidate.type === type);
      const names = this.readTable(section && this.sections[section.link], SHT_STRTAB);
      const entries = names && this.readTable(section, type);
      if (entries) table.add(entries, bytesOf(names));
    }
    return table;
  }

  private readBuildId(): string | null {
    for (const { type, offset, fileSize } of this.segments) {
      if (type !== PT_NOTE || fileSize > MAX_NOTE_BYTES) continue;
      const notes = readExactly(this.reader, offset, fileSize);
      const id = notes && findBuildId(notes);
      if (id) return id;
    }
    return null;
  }

  /** The section that contains an address as linked, or null: distinguishes .plt from .text. */
  sectionAt(address: number): ElfSection | null {
    const covers = (section: ElfSection): boolean =>
      section.address > 0 && address >= section.address && address < section.address + section.size;
    return this.sections.find((section) => section.type !== SHT_NOBITS && covers(section)) ?? null;
  }
}

function parseSegments(table: DataView, count: number): ElfSegment[] {
  const segments: ElfSegment[] = [];
  for (let at = 0; at < count * SEGMENT_BYTES; at += SEGMENT_BYTES) {
    const segment = {
      type: table.getUint32(at, true),
      flags: table.getUint32(at + 4, true),
      offset: readAddress(table, at + 8),
      address: readAddress(table, at + 16),
      fileSize: readAddress(table, at + 32),
      memorySize: readAddress(table, at + 40),
    };
    if (Object.values(segment).every(Number.isSafeInteger)) segments.push(segment);
  }
  return segments;
}

function parseSection(table: DataView, at: number): Omit<ElfSection, 'name'> & { nameOffset: number } {
  return {
    nameOffset: table.getUint32(at, true),
    type: table.getUint32(at + 4, true),
    address: readAddress(table, at + 16),
    offset: readAddress(table, at + 24),
    size: readAddress(table, at + 32),
    link: table.getUint32(at + 40, true),
  };
}

/** Notes are {u32 namesz, u32 descsz, u32 type, name, desc}, each part padded to 4 bytes. */
function findBuildId(notes: DataView): string | null {
  for (let at = 0; at + 12 <= notes.byteLength;) {
    const [nameSize, size] = [notes.getUint32(at, true), notes.getUint32(at + 4, true)];
    const content = at + 12 + Math.ceil(nameSize / 4) * 4;
    const end = content + size;
    if (end > notes.byteLength) return null;
    if (notes.getUint32(at + 8, true) === NT_GNU_BUILD_ID && readName(bytesOf(notes), at + 12) === 'GNU') {
      return Buffer.from(bytesOf(notes).subarray(content, end)).toString('hex');
    }
    at = content + Math.ceil(size / 4) * 4;
  }
  return null;
}
