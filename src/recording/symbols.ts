/** Places in a recorded program, as people name them: symbols, lines of source, addresses. */
import { USER_END, type Gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import type { Vma } from '../engine/mm/vma.js';
import type { SourceLine } from '../engine/symbols/line-table.js';
import type { SymbolHit } from '../engine/symbols/symbolizer.js';
import type { Task } from '../engine/task/task.js';
import type { TravelTarget } from '../engine/travel/target.js';
import {
  parsePlace,
  PLACES_HINT,
  type AddressPlace,
  type LinePlace,
  type SymbolPlace,
} from '../engine/base/place.js';
import { MappedSymbols } from '../engine/guest/mapped-symbols.js';
import type { TraceReader } from '../engine/trace/reader.js';
import { symbolHit } from '../engine/replay/state/symbols.js';
import { Lines } from './lines.js';
import { RecordedSymbols } from './recorded-symbols.js';

/** An address; or text: a symbol (`insert`), a symbol and bytes behind it (`insert+0x1c`), `FILE:LINE`, `0x401136`. */
export type Place = number | bigint | string;
/** What has addresses. */
export type CodePlace = SymbolPlace | LinePlace | AddressPlace;

const NUMBER = /^\d{1,19}$/;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

export function checkedAddress(value: number | bigint): Gva {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 0 && number < USER_END && BigInt(number) === BigInt(value))
    return number as Gva;
  throw usage(`${value} is no address of a program: they are whole numbers from 0 to 0x7fffffffffff.`);
}

/** A place in code; a number in decimal digits is an address here. Throws E_USAGE. */
export function codePlace(place: Place): CodePlace {
  if (typeof place !== 'string') return { kind: 'address', address: BigInt(checkedAddress(place)), hit: 1 };
  const text = place.trim();
  if (NUMBER.test(text)) return codePlace(BigInt(text));
  const parsed = parsePlace(text);
  if (parsed?.kind === 'symbol' || parsed?.kind === 'line' || parsed?.kind === 'address') {
    if (parsed.from === undefined) return parsed;
    throw usage(`${JSON.stringify(place)} is a moment, not a place in code.`, 'goTo goes to moments.');
  }
  if (parsed?.kind === 'ticks') throw usage(`${JSON.stringify(place)} is a moment, not a place in code.`);
  // The words of ends are names of functions, too.
  if (parsed) return { kind: 'symbol', name: text, offset: 0, hit: 1 };
  throw usage(
    `${JSON.stringify(place)} is not the name of a symbol, nor a line, nor an address.`,
    PLACES_HINT,
  );
}

/** Answers for the tasks of one replay. */
export class Places {
  private readonly lines: Lines;
  private readonly recorded: RecordedSymbols;

  constructor(
    private readonly replay: TravelTarget['mappedFiles'],
    trace: TraceReader,
  ) {
    this.lines = new Lines(trace.directory);
    this.recorded = new RecordedSymbols(trace);
  }

  /** Throws E_USAGE, which names what is near, if nothing in the recording ever has the place. */
  async requireRecorded(place: CodePlace): Promise<void> {
    if (place.kind === 'symbol') this.recorded.requireSymbol(place.name);
    if (place.kind === 'line') await this.recorded.requireLine(this.lines, place.file, place.line);
  }

  /** Where a symbol is in the task's memory, or null while it is not mapped. The program comes before its libraries. */
  symbol(task: Task, name: string): { address: Gva; size: number } | null {
    const found = this.mapped(task).find(name);
    return found && { address: found.address, size: found.size };
  }

  private mapped(task: Task): MappedSymbols {
    const program = task.group.program?.file ?? null;
    return new MappedSymbols(this.replay.symbolizer, [...task.space.vmas], program);
  }

  /** The name is that of a function which a resolver chooses at run time (IFUNC); `symbol` gives the resolver. */
  isResolver(task: Task, name: string): boolean {
    return this.mapped(task).find(name)?.isResolver ?? false;
  }

  symbolAt(task: Task, address: Gva): SymbolHit | null {
    return symbolHit(this.replay.symbolizer, task, address);
  }

  /**
   * A place that has one address and needs no lines.
   * @returns null while its symbol is not mapped
   */
  address(task: Task, place: Place): Gva | null {
    const parsed = codePlace(place);
    if (parsed.kind === 'line')
      throw usage(`${JSON.stringify(place)} is not the name of a symbol, nor an address.`);
    return this.addressOf(task, parsed);
  }

  /**
   * Every address of a place: a line may have code in several functions, and has one address in each.
   * @returns [] while no file that has it is mapped. Throws E_UNSUPPORTED without readelf.
   */
  async addresses(task: Task, place: CodePlace): Promise<Gva[]> {
    if (place.kind === 'line') return this.addressesOfLine(task, place.file, place.line);
    const address = this.addressOf(task, place);
    return address === null ? [] : [address];
  }

  /** As `addresses`; throws E_USAGE where nothing in the recording ever has the place. */
  async recordedAddresses(task: Task, place: CodePlace): Promise<Gva[]> {
    const found = await this.addresses(task, place);
    if (found.length === 0) await this.requireRecorded(place);
    return found;
  }

  private addressOf(task: Task, place: SymbolPlace | AddressPlace): Gva | null {
    if (place.kind === 'address') return checkedAddress(place.address);
    const found = this.symbol(task, place.name);
    return found && checkedAddress(found.address + place.offset);
  }

  /** The line of source of the instruction at an address, or null where the file tells nothing of it. */
  async lineAt(task: Task, address: Gva): Promise<SourceLine | null> {
    const vma = task.space.vmas.find(address);
    const bias = vma && this.biasOf(vma);
    const source = vma?.file && this.replay.recordedFile(vma.file.path);
    if (!source || bias === null) return null;
    return (await this.lines.of(source.name)).lineAt(address - bias);
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
    return file && this.replay.symbolizer.bias({ start, fileOffset: file.offset, name: file.path });
  }

  /** In the first mapped file that has the line. */
  private async addressesOfLine(task: Task, wanted: string, line: number): Promise<Gva[]> {
    for (const [path, vma] of this.mappedFiles(task)) {
      const source = this.replay.recordedFile(path);
      const bias = this.biasOf(vma);
      if (!source || bias === null) continue;
      const rows = (await this.lines.of(source.name)).find(wanted, line);
      const found = new Map<number, Gva>();
      for (const { address } of rows) {
        const at = (address + bias) as Gva;
        const key = this.symbolAt(task, at)?.address ?? at;
        if (!found.has(key)) found.set(key, at);
      }
      if (found.size > 0) return [...found.values()];
    }
    return [];
  }
}
