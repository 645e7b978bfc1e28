/** Symbols of an ELF64 file, looked up in the form that the file has them in. */

/** A symbol as linked (no load bias). */
export interface ElfSymbol {
  readonly name: string;
  readonly address: number;
  /** 0 for labels of assembly code. */
  readonly size: number;
  /** The address is that of a resolver (STT_GNU_IFUNC), which returns the function's. */
  readonly isResolver?: true;
}

const SYMBOL_BYTES = 24;
const Binding = { local: 0, global: 1, weak: 2 } as const;
const Type = { none: 0, object: 1, function: 2, ifunc: 10 } as const;
const ABSOLUTE = 0xfff1;

/** How far after a label without size an address still counts as belonging to it. */
const LABEL_REACH = 4096;
/** How many symbols before an address are checked for one that covers it (nested and aliased symbols). */
const LOOK_BACK = 64;

const MAX_NAME_BYTES = 256;

/** NUL-terminated, at most `MAX_NAME_BYTES`. */
export function readName(table: Uint8Array, offset: number): string {
  let end = offset;
  const limit = Math.min(table.length, offset + MAX_NAME_BYTES);
  while (end < limit && table[end] !== 0) end++;
  return Buffer.from(table.buffer, table.byteOffset + offset, Math.max(0, end - offset)).toString('utf8');
}

interface Chunk {
  readonly entries: DataView;
  readonly names: Uint8Array;
}

/** Symbols of one file; entries stay in the file's format until they are used. */
export class SymbolTable {
  private readonly chunks: Chunk[] = [];
  /** Sorted addresses, and the entries that they belong to (ordinal over all chunks); made on first lookup. */
  private addresses: Float64Array | null = null;
  private ordinals = new Uint32Array(0);

  /** Adds a symbol table section and its string table. */
  add(entries: DataView, names: Uint8Array): void {
    this.chunks.push({ entries, names });
    this.addresses = null;
  }

  /** Entries, those without address included. */
  get size(): number {
    return this.chunks.reduce((sum, chunk) => sum + countOf(chunk), 0);
  }

  /** The innermost symbol whose size covers `address`, else the label (of size 0) closest before it. */
  symbolAt(address: number): ElfSymbol | null {
    const addresses = this.addresses ?? this.sort();
    const last = upperBound(addresses, address) - 1;
    let best: ElfSymbol | null = null;
    let bestRank = -1;
    for (let i = last; i >= 0 && i > last - LOOK_BACK; i--) {
      if (best?.size && addresses[i] !== best.address) break;
      const [chunk, at] = this.locate(this.ordinals[i]);
      const symbol = symbolOf(chunk, at);
      const isLabel = symbol.size === 0 && addresses[i] === addresses[last];
      if (address >= symbol.address + (isLabel ? LABEL_REACH : symbol.size)) continue;
      const rank = rankOf(chunk, at, symbol);
      if (rank > bestRank) [best, bestRank] = [symbol, rank];
    }
    return best;
  }

  /** The symbol of that name, without its version (`malloc@@GLIBC_2.2.5` is `malloc`); global ones first. */
  symbolByName(name: string): ElfSymbol | null {
    const wanted = Buffer.from(name, 'utf8');
    let best: ElfSymbol | null = null;
    let bestRank = -1;
    for (const chunk of this.chunks) {
      for (let at = 0; at < countOf(chunk) * SYMBOL_BYTES; at += SYMBOL_BYTES) {
        if (!isDefined(chunk.entries, at) || !hasName(chunk, at, wanted)) continue;
        const symbol = symbolOf(chunk, at);
        const rank = rankOf(chunk, at, symbol);
        if (rank > bestRank) [best, bestRank] = [symbol, rank];
      }
    }
    return best;
  }

  /** Of all defined symbols, in the order of the file, without versions; some come more than once. */
  *names(): Generator<string> {
    for (const chunk of this.chunks)
      for (let at = 0; at < countOf(chunk) * SYMBOL_BYTES; at += SYMBOL_BYTES)
        if (isDefined(chunk.entries, at)) yield symbolOf(chunk, at).name;
  }

  private locate(ordinal: number): [Chunk, number] {
    let rest = ordinal;
    for (const chunk of this.chunks) {
      const count = countOf(chunk);
      if (rest < count) return [chunk, rest * SYMBOL_BYTES];
      rest -= count;
    }
    throw new RangeError('symbol ordinal');
  }

  private sort(): Float64Array {
    const total = this.size;
    const all = new Float64Array(total);
    const ordinals = new Uint32Array(total);
    let [used, first] = [0, 0];
    for (const chunk of this.chunks) {
      const count = countOf(chunk);
      for (let index = 0; index < count; index++) {
        if (!isDefined(chunk.entries, index * SYMBOL_BYTES)) continue;
        all[first + index] = addressOf(chunk.entries, index * SYMBOL_BYTES);
        ordinals[used++] = first + index;
      }
      first += count;
    }
    this.ordinals = ordinals.subarray(0, used).sort((a, b) => all[a] - all[b] || a - b);
    return (this.addresses = Float64Array.from(this.ordinals, (ordinal) => all[ordinal]));
  }
}

const countOf = ({ entries }: Chunk): number => Math.floor(entries.byteLength / SYMBOL_BYTES);

const addressOf = (entries: DataView, at: number): number =>
  entries.getUint32(at + 12, true) * 0x1_0000_0000 + entries.getUint32(at + 8, true);

/** Functions, objects and labels with an address below 2^47; not sections, files, TLS offsets, absolute values. */
function isDefined(entries: DataView, at: number): boolean {
  const type = entries.getUint8(at + 4) & 15;
  const section = entries.getUint16(at + 6, true);
  if (section === 0 || section === ABSOLUTE || entries.getUint32(at, true) === 0) return false;
  if (type > Type.function && type !== Type.ifunc) return false;
  return entries.getUint32(at + 12, true) < 0x8000;
}

function symbolOf({ entries, names }: Chunk, at: number): ElfSymbol {
  const offset = entries.getUint32(at, true);
  const versioned = offset < names.length ? readName(names, offset) : '';
  const version = versioned.indexOf('@', 1);
  const [low, high] = [entries.getUint32(at + 16, true), entries.getUint32(at + 20, true)];
  return {
    name: version > 0 ? versioned.slice(0, version) : versioned,
    address: addressOf(entries, at),
    size: high < 0x8000 ? high * 0x1_0000_0000 + low : 0,
    ...((entries.getUint8(at + 4) & 15) === Type.ifunc ? { isResolver: true } : null),
  };
}

/** Which of several names for one address is preferred: functions, global, without leading underscores. */
function rankOf({ entries }: Chunk, at: number, { name, size }: ElfSymbol): number {
  const info = entries.getUint8(at + 4);
  const [binding, type] = [info >>> 4, info & 15];
  let rank = 0;
  if (name === '') return rank;
  if (size > 0) rank += 16;
  if (type === Type.function || type === Type.ifunc) rank += 8;
  if (binding === Binding.global || binding === Binding.weak) rank += 4;
  return rank + (name.startsWith('__') ? 1 : name.startsWith('_') ? 2 : 3);
}

function hasName({ entries, names }: Chunk, at: number, wanted: Uint8Array): boolean {
  const offset = entries.getUint32(at, true);
  if (offset + wanted.length > names.length) return false;
  for (let i = 0; i < wanted.length; i++) if (names[offset + i] !== wanted[i]) return false;
  const end = names[offset + wanted.length];
  return end === 0 || end === undefined || end === 0x40;
}

/** Index of the first address greater than `value`. */
function upperBound(addresses: Float64Array, value: number): number {
  let [low, high] = [0, addresses.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (addresses[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
