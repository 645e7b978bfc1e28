import type { Gva } from '../base/address.js';
import type { Vma } from '../mm/vma.js';
import { Prot } from '../mm/vma.js';
import type { Symbolizer } from '../symbols/symbolizer.js';

export interface FoundSymbol {
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

  find(name: string): FoundSymbol | null {
    const files = new Map<string, Vma>();
    for (const vma of this.mappings) if (vma.file && !files.has(vma.file.path)) files.set(vma.file.path, vma);
    const ordered = [...files.values()].sort((a, b) => this.rank(a) - this.rank(b));
    for (const { start, file } of ordered) {
      if (!file) continue;
      const hit = this.symbolizer.symbolByName({ start, fileOffset: file.offset, name: file.path }, name);
      if (!hit) continue;
      const { address, size, isResolver = false } = hit;
      return { address, size, isCode: this.isCode(address), isResolver };
    }
    return null;
  }

  /** The recorder's library comes last: it has functions of common names. */
  private rank({ file }: Vma): number {
    if (file?.path === this.program) return 0;
    return file?.path.includes('librr') ? 2 : 1;
  }

  private isCode(address: Gva): boolean {
    const vma = this.mappings.find(({ start, end }) => address >= start && address < end);
    return vma !== undefined && (vma.prot & Prot.exec) !== 0;
  }
}
