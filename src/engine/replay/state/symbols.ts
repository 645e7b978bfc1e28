import type { Gva } from '../../base/address.js';
import type { Vma } from '../../mm/vma.js';
import { formatSymbol, type SymbolHit, type Symbolizer } from '../../symbols/symbolizer.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from './core.js';
import { MappedSymbols } from '../../guest/mapped-symbols.js';

/** The symbol that covers an address of a task, from the trace's own copy of the mapped file; or null. */
export function symbolHit(symbolizer: Symbolizer, task: Task, address: Gva): SymbolHit | null {
  const vma = address >= 0 ? task.space.vmas.find(address) : null;
  if (!vma?.file) return null;
  const mapping = { start: vma.start, fileOffset: vma.file.offset, name: vma.file.path };
  return symbolizer.symbolAt(mapping, address);
}

/** As `symbolHit`, as text: `insert+0x1c`. */
export function symbolOf(core: ReplayCore, task: Task, address: Gva): string | null {
  const hit = symbolHit(core.symbolizer, task, address);
  return hit && formatSymbol(hit);
}

/** Symbols of what a task has mapped now, its program's own first. */
export const mappedSymbols = (
  symbolizer: Symbolizer,
  { space, group }: Task,
  mappings: readonly Vma[] = [...space.vmas],
): MappedSymbols => new MappedSymbols(symbolizer, mappings, group.program?.file ?? null);
