import type { Gva } from '../base/address.js';
import type { Vma } from '../mm/vma.js';
import { Prot } from '../mm/vma.js';
import { ambiguous } from '../symbols/near.js';
import type { FileMapping, Symbolizer } from '../symbols/symbolizer.js';

export interface FoundSymbol {
  /** As people write it. */
  readonly title: string;
  /** Types of a function's parameters, if its name contains them. */
  readonly parameters: readonly string[] | null;
  readonly address: Gva;
  /** In bytes. */
  readonly size: number;
  readonly isCode: boolean;
  /** The address is that of an IFUNC's resolver: code that returns the address of the function. */
  readonly isResolver: boolean;
}

/** Symbols of the files that are mapped: the program's own first, then its libraries' in the order of addresses. */
export class MappedSymbols {
  /** @param program the file of the program itself */
  constructor(
    private readonly symbolizer: Symbolizer,
    private readonly mappings: readonly Vma[],
    private readonly program: string | null,
  ) {}

  /** Throws E_USAGE, which names them, if several functions or variables have the name. */
  find(name: string): FoundSymbol | null {
    const found = this.all(name);
    if (found.length > 1)
      throw ambiguous(
        name,
        found.map(({ title }) => title),
      );
    return found[0] ?? null;
  }

  /** The first with this name in symbol tables, without demangling. */
  exact(name: string): FoundSymbol | null {
    for (const mapping of this.files()) {
      const found = this.named(mapping, name, name, null);
      if (found) return found;
    }
    return null;
  }

  /** Those of the first file that has any: by the name in the symbol table, else by the demangled one. */
  all(name: string): readonly FoundSymbol[] {
    const mappings = this.files();
    for (const mapping of mappings) {
      const exact = this.named(mapping, name, name, null);
      if (!exact) continue;
      const parameters = /^_[ZR]/.test(name) ? this.symbolizer.namesOf(mapping, name)[0]?.parameters : null;
      return [{ ...exact, parameters: parameters ?? null }];
    }
    for (const mapping of mappings) {
      const names = this.symbolizer.namesOf(mapping, name);
      const found = names.map(({ raw, title, parameters }) => this.named(mapping, raw, title, parameters));
      const mapped = found.filter((symbol) => symbol !== null);
      if (mapped.length > 0) return mapped;
    }
    return [];
  }

  /** Names of the program's own file, to suggest similar ones. */
  programNames(): readonly string[] {
    const own = this.files().find(({ name }) => name === this.program);
    return own ? this.symbolizer.names(own) : [];
  }

  /** Whether any file besides rr's library has type information. */
  haveTypes(): boolean {
    return this.files().some(
      (mapping) => !isRecorders(mapping.name) && this.symbolizer.hasDebugInfo(mapping),
    );
  }

  /** Build id of the program's own file, or null. */
  programBuildId(): string | null {
    return this.program === null ? null : this.symbolizer.buildId(this.program);
  }

  /** The first mapping of each file, the program's own before all others. */
  private files(): FileMapping[] {
    const files = new Map<string, Vma>();
    for (const vma of this.mappings) if (vma.file && !files.has(vma.file.path)) files.set(vma.file.path, vma);
    const ordered = [...files.values()].sort((a, b) => this.rank(a) - this.rank(b));
    return ordered.map(({ start, file }) => ({
      start,
      fileOffset: file?.offset ?? 0,
      name: file?.path ?? '',
    }));
  }

  private named(
    mapping: FileMapping,
    raw: string,
    title: string,
    parameters: FoundSymbol['parameters'],
  ): FoundSymbol | null {
    const hit = this.symbolizer.symbolByName(mapping, raw);
    if (!hit) return null;
    const { address, size, isResolver = false } = hit;
    return { title, parameters, address, size, isCode: this.isCode(address), isResolver };
  }

  /** rr's library comes last: it has functions with common names. */
  private rank({ file }: Vma): number {
    if (file?.path === this.program) return 0;
    return file && isRecorders(file.path) ? 2 : 1;
  }

  private isCode(address: Gva): boolean {
    const vma = this.mappings.find(({ start, end }) => address >= start && address < end);
    return vma !== undefined && (vma.prot & Prot.exec) !== 0;
  }
}

const isRecorders = (file: string): boolean => file.includes('librr');
