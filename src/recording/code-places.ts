/** Places in a recorded program, as users name them: symbols, source lines, addresses. */
import { gva, type Gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import type { Vma } from '../engine/mm/vma.js';
import { mappedSymbols, symbolHit } from '../engine/replay/state/symbols.js';
import type { SourceLine } from '../engine/symbols/line-table.js';
import type { SymbolHit } from '../engine/symbols/symbolizer.js';
import type { Task } from '../engine/task/task.js';
import type { TraceReader } from '../engine/trace/reader.js';
import type { TravelTarget } from '../engine/travel/target.js';
import { Lines } from './lines.js';
import {
  checkedAddress,
  codePlace,
  type AddressPlace,
  type CodePlace,
  type PlaceInput,
  type SymbolPlace,
} from './place.js';
import { RecordedSymbols } from './recorded-symbols.js';

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/** Answers for the tasks of one replay, by number. Methods throw E_USAGE where the task does not exist. */
export class CodePlaces {
  private readonly files: TravelTarget['mappedFiles'];
  private readonly lines: Lines;
  private readonly recorded: RecordedSymbols;

  constructor(
    private readonly target: TravelTarget,
    trace: TraceReader,
  ) {
    this.files = target.mappedFiles;
    this.lines = new Lines(trace.directory);
    this.recorded = new RecordedSymbols(trace);
  }

  /** Throws E_USAGE, with similar names, if nothing in the recording ever has the place. */
  async requireRecorded(place: CodePlace): Promise<void> {
    if (place.kind === 'symbol') this.recorded.requireSymbol(place.name);
    if (place.kind === 'line') await this.recorded.requireLine(this.lines, place.file, place.line);
  }

  /** Where a symbol is in the task's memory, or null while it is not mapped. The program comes before its libraries. */
  symbol(tid: number, name: string): { address: Gva; size: number } | null {
    const found = mappedSymbols(this.files.symbolizer, this.task(tid)).find(name);
    return found && { address: found.address, size: found.size };
  }

  /** The name is that of a function which a resolver chooses at run time (IFUNC); `symbol` gives the resolver. */
  isResolver(tid: number, name: string): boolean {
    return mappedSymbols(this.files.symbolizer, this.task(tid)).find(name)?.isResolver ?? false;
  }

  symbolAt(tid: number, address: Gva): SymbolHit | null {
    return symbolHit(this.files.symbolizer, this.task(tid), address);
  }

  /**
   * A place that has one address and needs no lines.
   * @returns null while its symbol is not mapped
   */
  address(tid: number, place: PlaceInput): Gva | null {
    const parsed = codePlace(place);
    if (parsed.kind === 'line')
      throw usage(`${JSON.stringify(place)} is not the name of a symbol, nor an address.`);
    return this.addressOf(tid, parsed);
  }

  /** As `address`; throws E_USAGE while the symbol is not mapped. */
  requireAddress(tid: number, place: PlaceInput): Gva {
    const found = this.address(tid, place);
    if (found === null) throw this.unmapped(tid, place);
    return found;
  }

  /**
   * Every address of a place: a line may have code in several functions, and has one address in each.
   * @returns [] while no file that has it is mapped. Throws E_UNSUPPORTED without readelf.
   */
  async addresses(tid: number, place: CodePlace): Promise<Gva[]> {
    if (place.kind === 'line') return this.addressesOfLine(this.task(tid), place.file, place.line);
    const address = this.addressOf(tid, place);
    return address === null ? [] : [address];
  }

  /** As `addresses`; throws E_USAGE where nothing in the recording ever has the place. */
  async recordedAddresses(tid: number, place: CodePlace): Promise<Gva[]> {
    const found = await this.addresses(tid, place);
    if (found.length === 0) await this.requireRecorded(place);
    return found;
  }

  /** As `recordedAddresses`; throws E_USAGE while none is mapped. */
  async requireAddresses(tid: number, place: PlaceInput): Promise<Gva[]> {
    const found = await this.recordedAddresses(tid, codePlace(place));
    if (found.length === 0) throw this.unmapped(tid, place);
    return found;
  }

  /** The source line of the instruction at an address, or null if the file has none for it. */
  async lineAt(tid: number, address: Gva): Promise<SourceLine | null> {
    const vma = this.task(tid).space.vmas.find(address);
    const bias = vma && this.biasOf(vma);
    const source = vma?.file && this.files.recordedFile(vma.file.path);
    if (!source || bias === null) return null;
    return (await this.lines.of(source.name)).lineAt(address - bias);
  }

  private task(tid: number): Task {
    const task = this.target.findTask(tid);
    if (task) return task;
    throw usage(`No task exists after frame ${this.target.frameTime}.`, 'Go to an earlier frame.');
  }

  private unmapped(tid: number, place: PlaceInput): RevenantError {
    const frame = this.target.frameTime;
    return usage(
      `No file that task ${tid} has mapped after frame ${frame} has ${JSON.stringify(String(place))}.`,
      'Libraries are mapped once the loader has run (runTo waits for that); lines need debug information.',
    );
  }

  private addressOf(tid: number, place: SymbolPlace | AddressPlace): Gva | null {
    if (place.kind === 'address') return checkedAddress(place.address);
    const found = this.symbol(tid, place.name);
    return found && checkedAddress(found.address + place.offset);
  }

  /** Paths of the mapped files whose symbols are known, each once, the program's first. */
  private mappedFiles(task: Task): Map<string, Vma> {
    const program = task.group.program?.file;
    const files = new Map<string, Vma>();
    const all = [...task.space.vmas].filter(({ file }) => file !== null);
    const own = all.filter(({ file }) => file?.path === program);
    for (const vma of [...own, ...all])
      if (vma.file && !files.has(vma.file.path)) files.set(vma.file.path, vma);
    return files;
  }

  private biasOf({ start, file }: Vma): number | null {
    return file && this.files.symbolizer.bias({ start, fileOffset: file.offset, name: file.path });
  }

  /** In the first mapped file that has the line. */
  private async addressesOfLine(task: Task, wanted: string, line: number): Promise<Gva[]> {
    for (const [path, vma] of this.mappedFiles(task)) {
      const source = this.files.recordedFile(path);
      const bias = this.biasOf(vma);
      if (!source || bias === null) continue;
      const rows = (await this.lines.of(source.name)).find(wanted, line);
      const found = new Map<number, Gva>();
      for (const { address } of rows) {
        const at = gva(address + bias);
        const key = symbolHit(this.files.symbolizer, task, at)?.address ?? at;
        if (!found.has(key)) found.set(key, at);
      }
      if (found.size > 0) return [...found.values()];
    }
    return [];
  }
}
