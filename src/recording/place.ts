/** The notation of places in a recording: one grammar for command line, debugger, scripts and manifests. Pure. */
import { USER_END, type Gva, gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { isSymbolName } from '../engine/symbols/symbol-name.js';

interface Arrival {
  /** Which arrival of any task, from 1. */
  readonly hit: number;
  /** Counted after this frame; absent: from the beginning. */
  readonly from?: number;
}

export interface SymbolPlace extends Arrival {
  readonly kind: 'symbol';
  /** As in the symbol table, or demangled. */
  readonly name: string;
  /** Bytes after it. */
  readonly offset: number;
}

export interface LinePlace extends Arrival {
  readonly kind: 'line';
  /** Its name, or the end of its path. */
  readonly file: string;
  readonly line: number;
}

/** With a frame and a hit it identifies an instruction in the history. */
export interface AddressPlace extends Arrival {
  readonly kind: 'address';
  readonly address: bigint;
}

/** Places with addresses. */
export type CodePlace = SymbolPlace | LinePlace | AddressPlace;

export type Place =
  /** Right after this frame. */
  | { readonly kind: 'frame'; readonly frame: number }
  /** Where the task that runs after the frame first has this tick count (retired conditional branches). */
  | { readonly kind: 'ticks'; readonly frame: number; readonly ticks: number }
  | SymbolPlace
  | LinePlace
  | AddressPlace
  /** Right before the first process ends, or the last one. */
  | { readonly kind: 'exit'; readonly of: 'first' | 'last' }
  /** At the first signal that ends a process. */
  | { readonly kind: 'crash' };

export const PLACES_HINT =
  'A place is a frame, FRAME:TICKS, SYMBOL, SYMBOL+OFFSET, FILE:LINE or 0xADDRESS, each of the last four with :HIT ' +
  '(from 1) after it and FRAME: before it (hits are counted from there) or without, or exit, end or crash.';

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/** Ends of names of source files: `tree.c:65` is a line, `main.add:2` the second arrival at a symbol. */
const SOURCE =
  /(?:\/[^/]+|\.(?:c|cc|cp|cpp|cxx|c\+\+|C|h|hh|hpp|hxx|inl|ipp|tcc|m|mm|s|S|asm|rs|go|d|f|F|f90|F90|f95|f03|f08|for|adb|ads|zig|nim|swift|pas|pyx|v|y|l|hs|ml|cu))$/;
const HIT = /^(.*[^:]):(\d{1,9})$/s;
const FRAME = /^\d{1,15}$/;
const BEHIND = /^(\d{1,15}):(.+)$/s;
const OFFSET = /^(.*[^+\s])\+(0x[0-9a-fA-F]{1,12}|\d{1,12})$/s;
/** A symbol and an offset, without a hit; null: neither. */
export function parseSymbolOffset(text: string): { name: string; offset: number } | null {
  const match = OFFSET.exec(text);
  if (match && isSymbolName(match[1])) return { name: match[1], offset: Number(match[2]) };
  return isSymbolName(text) ? { name: text, offset: 0 } : null;
}

/** null: not a place. */
export function parsePlace(written: string): Place | null {
  const text = written.trim();
  if (text === 'exit' || text === 'end') return { kind: 'exit', of: text === 'exit' ? 'first' : 'last' };
  if (text === 'crash') return { kind: 'crash' };
  if (FRAME.test(text)) return { kind: 'frame', frame: Number(text) };
  const behind = BEHIND.exec(text);
  if (!behind) return parseCode(text);
  const frame = Number(behind[1]);
  if (FRAME.test(behind[2])) return { kind: 'ticks', frame, ticks: Number(behind[2]) };
  const place = parseCode(behind[2]);
  return place && { ...place, from: frame };
}

function parseCode(text: string): CodePlace | null {
  const last = HIT.exec(text);
  const line = parseLine(last);
  if (line) return line.line > 0 && line.hit > 0 ? line : null;
  const [place, hit] = last ? [last[1], Number(last[2])] : [text, 1];
  if (hit < 1) return null;
  if (/^0x[0-9a-fA-F]{1,16}$/.test(place)) return { kind: 'address', address: BigInt(place), hit };
  const symbol = parseSymbolOffset(place);
  return symbol && { kind: 'symbol', ...symbol, hit };
}

/** `FILE:LINE:HIT`, or `FILE:LINE` if the name looks like a source file. */
function parseLine(last: RegExpExecArray | null): LinePlace | null {
  const before = last && HIT.exec(last[1]);
  if (last && before && !before[1].includes('::') && !before[1].includes('('))
    return { kind: 'line', file: before[1], line: Number(before[2]), hit: Number(last[2]) };
  if (!last || last[1].includes('::') || last[1].includes('(') || !SOURCE.test(last[1])) return null;
  return { kind: 'line', file: last[1], line: Number(last[2]), hit: 1 };
}

/** @param option the option with the text: `--at`. Throws E_USAGE. */
export function requirePlace(text: string, option: string): Place {
  const place = parsePlace(text);
  if (place) return place;
  throw usage(`Invalid ${option} value '${text}'.`, PLACES_HINT);
}

/** The text that `parsePlace` parses. */
export function formatPlace(place: Place): string {
  if ('from' in place && place.from !== undefined) {
    const { from, ...rest } = place;
    return `${from}:${formatPlace(rest)}`;
  }
  const hit = 'hit' in place && place.hit > 1 ? `:${place.hit}` : '';
  switch (place.kind) {
    case 'frame':
      return String(place.frame);
    case 'ticks':
      return `${place.frame}:${place.ticks}`;
    case 'symbol':
      return `${place.name}${place.offset > 0 ? `+0x${place.offset.toString(16)}` : ''}${hit}`;
    case 'line':
      return `${place.file}:${place.line}${SOURCE.test(place.file) ? hit : `:${place.hit}`}`;
    case 'address':
      return `0x${place.address.toString(16)}${hit}`;
    case 'exit':
      return place.of === 'first' ? 'exit' : 'end';
    case 'crash':
      return 'crash';
  }
}

interface Instruction {
  readonly frameTime: number;
  readonly address: number | null;
  readonly hit: number;
}

/** A moment (engine/target.ts) as a place. */
export function momentText({ frameTime: frame, address, hit }: Instruction): string {
  if (address === null) return formatPlace({ kind: 'frame', frame });
  return formatPlace({ kind: 'address', address: BigInt(address), hit, from: frame });
}

/** An address; or text: a symbol (`insert`), a symbol and an offset (`insert+0x1c`), `FILE:LINE`, `0x401136`. */
export type PlaceInput = number | bigint | string;

const NUMBER = /^\d{1,19}$/;

export function checkedAddress(value: number | bigint): Gva {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 0 && number < USER_END && BigInt(number) === BigInt(value))
    return gva(number);
  throw usage(`Invalid address ${value}: addresses are integers from 0 to 0x7fffffffffff.`);
}

/** A place in code; a number in decimal digits is an address here. Throws E_USAGE. */
export function codePlace(place: PlaceInput): CodePlace {
  if (typeof place !== 'string') return { kind: 'address', address: BigInt(checkedAddress(place)), hit: 1 };
  const text = place.trim();
  if (NUMBER.test(text)) return codePlace(BigInt(text));
  const parsed = parsePlace(text);
  if (parsed?.kind === 'symbol' || parsed?.kind === 'line' || parsed?.kind === 'address') {
    if (parsed.from === undefined) return parsed;
    throw usage(`${JSON.stringify(place)} is a moment, not a place in code.`, 'Use goTo for moments.');
  }
  if (parsed?.kind === 'ticks') throw usage(`${JSON.stringify(place)} is a moment, not a place in code.`);
  // `exit` and `end` are names of functions, too.
  if (parsed) return { kind: 'symbol', name: text, offset: 0, hit: 1 };
  throw usage(`${JSON.stringify(place)} is not a symbol, a line or an address.`, PLACES_HINT);
}

/** The place in code of a question, whose hit is given separately. Throws E_USAGE. */
export function codePlaceAt(text: string, hit: number): CodePlace {
  const place = codePlace(text);
  if (place.hit === 1) return { ...place, hit };
  throw usage(`${JSON.stringify(text)} has a hit, and there is also hit ${hit}.`);
}
