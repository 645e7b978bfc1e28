/** Names for addresses in mapped files. Files are opened on first use and kept by name. */

import type { Gva } from '../base/address.js';
import { gva, PAGE_SIZE, USER_END } from '../base/address.js';
import type { FileReader } from './elf.js';
import { DemangledNames, type Demangle, type DemangledName } from './demangled.js';
import { ElfFile, PT_LOAD } from './elf.js';

/** A mapping of a file into an address space. */
export interface FileMapping {
  /** Where it begins in memory, and which byte of the file is there. */
  readonly start: number;
  readonly fileOffset: number;
  /** Identifies the file: mappings with the same name share what was read. */
  readonly name: string;
}

export interface SymbolHit {
  readonly name: string;
  /** Bytes from the symbol's first. */
  readonly offset: number;
  /** Address of the symbol in memory. */
  readonly address: Gva;
  readonly size: number;
  /** See ElfSymbol. Only present for symbols that were looked up by name. */
  readonly isResolver?: true;
}

/**
 * What to add to addresses as linked to get those in memory (0 for position-dependent programs), or null if no
 * loadable segment of the file covers the mapping. Two segments may share a page of the file: the
 * one that begins there is used, because the loader maps each segment from its own first page.
 */
export function loadBias(elf: ElfFile, { start, fileOffset }: FileMapping): number | null {
  let found: number | null = null;
  for (const { type, offset, address, fileSize } of elf.segments) {
    if (type !== PT_LOAD || fileSize === 0) continue;
    const first = offset - (offset % PAGE_SIZE);
    if (fileOffset < first || fileOffset >= offset + fileSize) continue;
    const bias = start - fileOffset - (address - offset);
    if (first === fileOffset) return bias;
    found ??= bias;
  }
  return found;
}

export class Symbolizer {
  private readonly files = new Map<string, ElfFile | null>();
  private readonly demangled = new Map<string, DemangledNames>();

  /** @param open finds the file of a mapping by its name; null or an exception: no symbols */
  constructor(
    private readonly open: (name: string) => FileReader | null,
    private readonly demangle: Demangle = (names) => names,
  ) {}

  /** Symbols that match a name as written in source. */
  namesOf({ name }: FileMapping, text: string): readonly DemangledName[] {
    const found = this.guarded(() => {
      const elf = this.fileOf(name);
      if (!elf) return null;
      let names = this.demangled.get(name);
      if (!names) this.demangled.set(name, (names = new DemangledNames(elf.symbols, this.demangle)));
      return names.find(text);
    });
    return found ?? [];
  }

  /** The symbol that covers `address`, which lies in `mapping`. */
  symbolAt(mapping: FileMapping, address: number): SymbolHit | null {
    return this.guarded(() => {
      const elf = this.fileOf(mapping.name);
      const bias = elf && loadBias(elf, mapping);
      const symbol = bias === null ? null : elf?.symbols.symbolAt(address - bias);
      if (!symbol || bias === null) return null;
      const { name, size } = symbol;
      return { name, size, offset: address - bias - symbol.address, address: gva(symbol.address + bias) };
    });
  }

  /** Where the symbol of that name is in memory, or null. */
  symbolByName(mapping: FileMapping, name: string): SymbolHit | null {
    return this.guarded(() => {
      const elf = this.fileOf(mapping.name);
      const bias = elf && loadBias(elf, mapping);
      const symbol = bias === null ? null : elf?.symbols.symbolByName(name);
      if (!symbol || bias === null) return null;
      const address = symbol.address + bias;
      if (address < 0 || address >= USER_END) return null;
      return { ...symbol, offset: 0, address: gva(address) };
    });
  }

  /** What to add to addresses as linked to get those in memory, or null: see loadBias. */
  bias(mapping: FileMapping): number | null {
    return this.guarded(() => {
      const elf = this.fileOf(mapping.name);
      return elf && loadBias(elf, mapping);
    });
  }

  /** The GNU build id of a file, or null. */
  buildId(name: string): string | null {
    return this.guarded(() => this.fileOf(name)?.buildId ?? null);
  }

  /** Whether a file has type information. */
  hasDebugInfo({ name }: FileMapping): boolean {
    const found = this.guarded(() => {
      const sections = this.fileOf(name)?.sections ?? [];
      return sections.some((section) => section.name === '.debug_info' && section.size > 0);
    });
    return found ?? false;
  }

  /** All names of a file's symbols, as they are and as their author wrote them. */
  names(mapping: FileMapping): readonly string[] {
    this.namesOf(mapping, '');
    const found = this.guarded(() => {
      const symbols = this.fileOf(mapping.name)?.symbols.names() ?? [];
      return [...symbols, ...(this.demangled.get(mapping.name)?.titles() ?? [])];
    });
    return found ?? [];
  }

  private fileOf(name: string): ElfFile | null {
    let file = this.files.get(name);
    if (file === undefined) {
      this.files.set(name, null);
      const reader = this.open(name);
      file = reader && ElfFile.open(reader);
      this.files.set(name, file);
    }
    return file;
  }

  /** Symbols are optional in reports: an unreadable file has none, and must not prevent the report. */
  private guarded<T>(lookup: () => T | null): T | null {
    try {
      return lookup();
    } catch {
      return null;
    }
  }
}

/** `insert+0x1c`, or `insert` at the symbol itself. */
export const formatSymbol = ({ name, offset }: SymbolHit): string =>
  offset === 0 ? name : `${name}+0x${offset.toString(16)}`;
