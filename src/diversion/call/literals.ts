/** Tokens of expressions, with C's literals. Pure. */
import { isSymbolName } from '../../engine/symbols/symbol-name.js';

export type Token =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number; readonly isSingle: boolean }
  | { readonly kind: 'string' | 'register' | 'name' | 'sign'; readonly text: string };

const FLOAT =
  /(?:(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|0[xX](?:[\da-fA-F]+\.?[\da-fA-F]*|\.[\da-fA-F]+)[pP][+-]?\d+)[fFlL]?/;
const WHOLE = /(?:0[xX][\da-fA-F]+|0[bB][01]+|\d+)(?:[uU]?(?:ll?|LL?|z|Z)?|(?:ll?|LL?|z|Z)[uU])/;
const TOKEN = new RegExp(
  [
    `(${FLOAT.source})(?![\\w.])`,
    `(${WHOLE.source})(?![\\w.])`,
    /(?:u8|[uUL])?'((?:[^'\\]|\\.)+)'/.source,
    /(?:u8)?"((?:[^"\\]|\\.)*)"/.source,
    /\$(\w+)/.source,
    /([A-Za-z_]\w*(?:<[\w\s:*&,<>]*>(?=\s*(?:\(|::)))?(?:::~?\w+(?:<[\w\s:*&,<>]*>(?=\s*(?:\(|::)))?)*)/
      .source,
    /([^\w\s"'])/.source,
  ].join('|'),
  'y',
);
const SPACE = /\s*/y;

/** null: something in the text is not a token. */
export function tokens(text: string): Token[] | null {
  const list: Token[] = [];
  for (let at = 0; ;) {
    SPACE.lastIndex = at;
    SPACE.exec(text);
    at = SPACE.lastIndex;
    if (at === text.length) return list;
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const token = match && tokenOf(match);
    if (!token) return null;
    list.push(token);
    at = TOKEN.lastIndex;
  }
}

function tokenOf([, float, whole, character, string, register, name, sign]: RegExpExecArray): Token | null {
  if (float !== undefined) return floatOf(float);
  if (whole !== undefined) return numberOf(whole);
  if (character !== undefined) return characterOf(character);
  if (string !== undefined) return { kind: 'string', text: unescape(string) };
  if (register !== undefined) return { kind: 'register', text: register };
  if (name !== undefined) return { kind: 'name', text: name };
  return { kind: 'sign', text: sign };
}

function floatOf(text: string): Token {
  const isHex = /^0x/i.test(text);
  const isSingle = /f$/i.test(text);
  const digits = text.replace(/[fl]$/i, '');
  const value = isHex ? hexFloat(digits) : Number(digits);
  return { kind: 'float', value: isSingle ? Math.fround(value) : value, isSingle };
}

/** `0x1.8p3`: the mantissa in hexadecimal, the exponent of two in decimal. */
function hexFloat(text: string): number {
  const [mantissa, exponent] = text.slice(2).split(/p/i);
  const [whole, fraction = ''] = mantissa.split('.');
  return Number(`0x0${whole}${fraction}`) * 2 ** (Number(exponent) - 4 * fraction.length);
}

/** A leading 0 makes it octal; a suffix only requires that the value fits. */
function numberOf(text: string): Token | null {
  const digits = text.replace(/[ulz]+$/i, '');
  const isOctal = /^0\d/.test(digits);
  if (isOctal && /[89]/.test(digits)) return null;
  const value = BigInt(isOctal ? `0o${digits.slice(1)}` : digits);
  return value < 1n << 64n ? { kind: 'number', value } : null;
}

/** One character of one byte, which is signed. */
function characterOf(text: string): Token | null {
  const character = unescape(text);
  const code = character.charCodeAt(0);
  // As in gdb: a quoted name.
  if (/^[A-Za-z_(<~].+$/s.test(text) && isSymbolName(text)) return { kind: 'name', text };
  if (character.length !== 1 || code > 255 || (code > 127 && !text.startsWith('\\'))) return null;
  return { kind: 'number', value: BigInt.asIntN(8, BigInt(code)) };
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  e: '\x1b',
};

function unescape(text: string): string {
  return text.replace(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)/g, (_, code: string) => {
    if (/^[0-7]/.test(code)) return String.fromCharCode(parseInt(code, 8) & 255);
    if (code.length > 1) return String.fromCharCode(parseInt(code.slice(1), 16));
    return ESCAPES[code] ?? code;
  });
}
