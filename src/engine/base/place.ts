/** How people write places in a recording: one grammar for command line, debugger, scripts and manifests. Pure. */
import { RevenantError } from './errors.js';

interface Arrival {
  /** Which arrival of any task, from 1. */
  readonly hit: number;
  /** Counted behind this frame; absent: from the beginning. */
  readonly from?: number;
}

export interface SymbolPlace extends Arrival {
  readonly kind: 'symbol';
  /** As in the symbol table, or demangled. */
  readonly name: string;
  /** Bytes behind it. */
  readonly offset: number;
}

export interface LinePlace extends Arrival {
  readonly kind: 'line';
  /** Its name, or the end of its path. */
  readonly file: string;
  readonly line: number;
}

/** With a frame and a hit it names any moment of a recording, to the instruction. */
export interface AddressPlace extends Arrival {
  readonly kind: 'address';
  readonly address: bigint;
}

export type PlaceText =
  /** Right behind this frame. */
  | { readonly kind: 'frame'; readonly frame: number }
  /** Where the task that runs behind the frame first has so many ticks (retired conditional branches). */
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
  '(from 1) behind it and FRAME: before it (hits are counted from there) or without, or exit, end or crash.';

/** Ends of names of source files: `tree.c:65` is a line, `main.add:2` the second arrival at a symbol. */
const SOURCE =
  /(?:\/[^/]+|\.(?:c|cc|cp|cpp|cxx|c\+\+|C|h|hh|hpp|hxx|inl|ipp|tcc|m|mm|s|S|asm|rs|go|d|f|F|f90|F90|f95|f03|f08|for|adb|ads|zig|nim|swift|pas|pyx|v|y|l|hs|ml|cu))$/;
const HIT = /^(.*[^:]):(\d{1,9})$/s;
const FRAME = /^\d{1,15}$/;
const BEHIND = /^(\d{1,15}):(.+)$/s;
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
  if (FRAME.test(text)) return { kind: 'frame', frame: Number(text) };
  const behind = BEHIND.exec(text);
  if (!behind) return parseCode(text);
  const frame = Number(behind[1]);
  if (FRAME.test(behind[2])) return { kind: 'ticks', frame, ticks: Number(behind[2]) };
  const place = parseCode(behind[2]);
  return place && { ...place, from: frame };
}

function parseCode(text: string): SymbolPlace | LinePlace | AddressPlace | null {
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

/** A moment (debug/target.ts) as a place. */
export function momentText({ frameTime: frame, address, hit }: Instruction): string {
  if (address === null) return formatPlace({ kind: 'frame', frame });
  return formatPlace({ kind: 'address', address: BigInt(address), hit, from: frame });
}
