/** How people write places in a recording: one grammar for command line, debugger, scripts and manifests. Pure. */
import { RevenantError } from './errors.js';

export interface SymbolPlace {
  readonly kind: 'symbol';
  /** As in the symbol table, or demangled. */
  readonly name: string;
  /** Bytes behind it. */
  readonly offset: number;
  /** Which arrival, from 1. */
  readonly hit: number;
}

export interface LinePlace {
  readonly kind: 'line';
  /** Its name, or the end of its path. */
  readonly file: string;
  readonly line: number;
  readonly hit: number;
}

export interface AddressPlace {
  readonly kind: 'address';
  readonly address: bigint;
  readonly hit: number;
}

export type PlaceText =
  /** Right behind this frame. */
  | { readonly kind: 'frame'; readonly frame: number }
  /** At the `hit`th arrival of any task. */
  | SymbolPlace
  | LinePlace
  | AddressPlace
  /** Right before the first process ends, or the last one. */
  | { readonly kind: 'exit'; readonly of: 'first' | 'last' }
  /** At the first signal that ends a process. */
  | { readonly kind: 'crash' };

export const PLACES_HINT =
  'A place is a frame, SYMBOL, SYMBOL+OFFSET, FILE:LINE or 0xADDRESS, each of these with :HIT (from 1) or without, ' +
  'or exit, end or crash.';

/** Ends of names of source files: `tree.c:65` is a line, `main.add:2` the second arrival at a symbol. */
const SOURCE =
  /(?:\/[^/]+|\.(?:c|cc|cp|cpp|cxx|c\+\+|C|h|hh|hpp|hxx|inl|ipp|tcc|m|mm|s|S|asm|rs|go|d|f|F|f90|F90|f95|f03|f08|for|adb|ads|zig|nim|swift|pas|pyx|v|y|l|hs|ml|cu))$/;
const HIT = /^(.*[^:]):(\d{1,9})$/s;
const OFFSET = /^(.*[^+\s])\+(0x[0-9a-fA-F]{1,12}|\d{1,12})$/s;
/** What is left of a name without its parameters and template arguments. */
const NAME = /^(?:[A-Za-z_.$~][\w.$@~]*)(?:::[\w.$@~]+)*$/;

/** `insert`, `shop::Counter::add`, `larger<int>(int, int)`, `Item::operator+`, `<str as Display>::fmt`. */
export function isSymbolName(text: string): boolean {
  if (text.length > 4096 || text !== text.trim() || /\p{Cc}/u.test(text)) return false;
  if (/(?:^|::)operator\W/.test(text)) return true;
  const bare = withoutNested(text.replaceAll('(anonymous namespace)', '_anonymous'));
  if (bare === null) return false;
  const name = bare.replace(/(?: const| volatile|&)*$/, '').replace(/^::/, '_::');
  return NAME.test(name);
}

/** Without what is in brackets, which must match; null where they do not. */
function withoutNested(text: string): string | null {
  const open: string[] = [];
  let rest = '';
  for (const character of text) {
    if (character === '(' || character === '<' || character === '{' || character === '[') {
      if (open.length === 0 && (rest === '' || rest.endsWith('::'))) rest += '_';
      open.push(character);
    } else if (character === ')' || character === '>' || character === '}' || character === ']') {
      if (open.pop() !== OPENING[character]) return null;
    } else if (open.length === 0) rest += character;
  }
  return open.length === 0 ? rest : null;
}

const OPENING: Readonly<Record<string, string>> = { ')': '(', '>': '<', '}': '{', ']': '[' };

/** A symbol and bytes behind it, without a hit; null: neither. */
export function parseSymbolOffset(text: string): { name: string; offset: number } | null {
  const match = OFFSET.exec(text);
  if (match && isSymbolName(match[1])) return { name: match[1], offset: Number(match[2]) };
  return isSymbolName(text) ? { name: text, offset: 0 } : null;
}

/** null: it is no place. */
export function parsePlace(written: string): PlaceText | null {
  const text = written.trim();
  if (text === 'exit' || text === 'end') return { kind: 'exit', of: text === 'exit' ? 'first' : 'last' };
  if (text === 'crash') return { kind: 'crash' };
  if (/^\d{1,15}$/.test(text)) return { kind: 'frame', frame: Number(text) };
  const last = HIT.exec(text);
  const line = parseLine(last);
  if (line) return line.line > 0 && line.hit > 0 ? line : null;
  const [place, hit] = last ? [last[1], Number(last[2])] : [text, 1];
  if (hit < 1) return null;
  if (/^0x[0-9a-fA-F]{1,16}$/.test(place)) return { kind: 'address', address: BigInt(place), hit };
  const symbol = parseSymbolOffset(place);
  return symbol && { kind: 'symbol', ...symbol, hit };
}

/** `FILE:LINE:HIT`, or `FILE:LINE` where the file's name looks like one of source. */
function parseLine(last: RegExpExecArray | null): LinePlace | null {
  const before = last && HIT.exec(last[1]);
  if (last && before && !before[1].includes('::') && !before[1].includes('('))
    return { kind: 'line', file: before[1], line: Number(before[2]), hit: Number(last[2]) };
  if (!last || last[1].includes('::') || last[1].includes('(') || !SOURCE.test(last[1])) return null;
  return { kind: 'line', file: last[1], line: Number(last[2]), hit: 1 };
}

/** @param option how the text was given: `--at`. Throws E_USAGE. */
export function requirePlace(text: string, option: string): PlaceText {
  const place = parsePlace(text);
  if (place) return place;
  throw new RevenantError('E_USAGE', `${option} ${text} is no place.`, PLACES_HINT);
}

/** As `parsePlace` reads it. */
export function formatPlace(place: PlaceText): string {
  const hit = 'hit' in place && place.hit > 1 ? `:${place.hit}` : '';
  switch (place.kind) {
    case 'frame':
      return String(place.frame);
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
