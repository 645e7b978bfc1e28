/** The symbols of all files of a recording, mapped or not: a name that no file has is refused immediately. */
import { RevenantError } from '../engine/base/errors.js';
import { demangleNames } from '../engine/host/demangle.js';
import { DemangledNames } from '../engine/symbols/demangled.js';
import { ElfFile } from '../engine/symbols/elf.js';
import { nearMisses, nearText } from '../engine/symbols/near.js';
import type { SymbolTable } from '../engine/symbols/symbol-table.js';
import { TraceReader, type BackingFile } from '../engine/trace/reader.js';
import { openIfThere } from './program-files.js';
import type { Lines } from './lines.js';

interface RecordedProgram {
  readonly copy: BackingFile;
  readonly symbols: SymbolTable;
  readonly names: DemangledNames;
}

export class RecordedSymbols {
  private known: readonly RecordedProgram[] | null = null;

  constructor(private readonly trace: TraceReader) {}

  /** Throws E_USAGE, with similar names, if no file of the recording has the symbol. */
  requireSymbol(name: string): void {
    const files = this.files();
    // A program that generates code, or whose files are not here, may have symbols that cannot be looked up.
    if (files.some(({ symbols }) => symbols.symbolByName(name) !== null)) return;
    if (files.some(({ names }) => names.find(name).length > 0)) return;
    throw new RevenantError(
      'E_USAGE',
      `No program or library of this recording has a symbol ${name}.`,
      this.near(name),
    );
  }

  /** Throws E_USAGE if no file of the recording has code at the line, or at a later one. */
  async requireLine(lines: Lines, file: string, line: number): Promise<void> {
    let isKnown = false;
    for (const { copy } of this.files()) {
      const table = await lines.of(copy.path);
      if (table.find(file, line).length > 0) return;
      isKnown ||= table.find(file, 0).length > 0;
    }
    throw new RevenantError(
      'E_USAGE',
      isKnown
        ? `There is no code at ${file}:${line} or after it in this recording.`
        : `No program or library of this recording has lines of ${file}.`,
      isKnown
        ? undefined
        : 'Lines need debug information in the recorded file. For a symbol, write SYMBOL:HIT.',
    );
  }

  private near(name: string): string {
    const misses = nearMisses(name, allNames(this.files()));
    return (
      nearText(misses) ||
      'Names are those of symbol tables, and stripped programs have few; an address can be used, too.'
    );
  }

  private files(): readonly RecordedProgram[] {
    return (this.known ??= this.read());
  }

  private read(): RecordedProgram[] {
    const reader = TraceReader.open(this.trace.directory);
    const found = new Map<string, RecordedProgram>();
    try {
      for (;;) {
        const frameTime = reader.peekMapping()?.frameTime;
        const record = frameTime === undefined ? null : reader.nextMapping(frameTime);
        if (!record) return [...found.values()];
        if (record.source.kind !== 'file' || found.has(record.fsname)) continue;
        const copy = openIfThere(this.trace, record);
        const elf = copy && openElf(copy);
        if (copy && elf) found.set(record.fsname, programOf(copy, elf));
      }
    } finally {
      reader.close();
    }
  }
}

const programOf = (copy: BackingFile, { symbols }: ElfFile): RecordedProgram => ({
  copy,
  symbols,
  names: new DemangledNames(symbols, demangleNames),
});

function* allNames(files: readonly RecordedProgram[]): Generator<string> {
  for (const { symbols, names } of files) {
    yield* symbols.names();
    yield* names.titles();
  }
}

/** Files that cannot be read have no symbols. */
function openElf(copy: BackingFile): ElfFile | null {
  try {
    return ElfFile.open(copy);
  } catch {
    return null;
  }
}
