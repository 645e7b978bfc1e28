/** Expressions that `revenant call` evaluates: calls, numbers, strings, symbols, registers. */
import { RevenantError } from '../../engine/base/errors.js';

/** What the value of an expression is to be taken for. */
export type ValueType = 'long' | 'int' | 'unsigned' | 'char' | 'pointer' | 'string' | 'double' | 'void';

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'register'; readonly name: string }
  /** The value of a variable, or the address of a function. */
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'address'; readonly name: string }
  | { readonly kind: 'cast'; readonly type: ValueType; readonly operand: Expression }
  | { readonly kind: 'negative'; readonly operand: Expression }
  | { readonly kind: 'sum'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'call'; readonly callee: Expression; readonly arguments: readonly Expression[] };

const TOKEN =
  /\s*(?:(0[xX][0-9a-fA-F]+|\d+)[uUlL]*|'((?:[^'\\]|\\.)+)'|"((?:[^"\\]|\\.)*)"|\$(\w+)|([A-Za-z_]\w*(?:::~?\w+)*)|(.))/gy;

type Token =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'string' | 'register' | 'name' | 'sign'; readonly text: string };

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', 0: '\0' };
const unescape = (text: string): string =>
  text.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, code: string) =>
    code.length > 1 ? String.fromCharCode(parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
  );

function tokens(text: string): Token[] {
  const list: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const [, number, character, string, register, name, sign] = match;
    if (number !== undefined) list.push({ kind: 'number', value: BigInt(number) });
    else if (character !== undefined)
      list.push({ kind: 'number', value: BigInt(unescape(character).charCodeAt(0)) });
    else if (string !== undefined) list.push({ kind: 'string', text: unescape(string) });
    else if (register !== undefined) list.push({ kind: 'register', text: register });
    else if (name !== undefined) list.push({ kind: 'name', text: name });
    else if (sign !== undefined && sign.trim() !== '') list.push({ kind: 'sign', text: sign });
  }
  return list;
}

const TYPES: Readonly<Record<string, ValueType>> = {
  long: 'long',
  'long long': 'long',
  'unsigned long': 'unsigned',
  size_t: 'unsigned',
  uint64_t: 'unsigned',
  int: 'int',
  int32_t: 'int',
  bool: 'int',
  _Bool: 'int',
  char: 'char',
  double: 'double',
  void: 'void',
  'char*': 'string',
};

/** The type of a cast as written: `int`, `const char *`, `struct node *`; null: not one that is known. */
export function typeNamed(words: string): ValueType | null {
  const name = words
    .replace(/\b(const|volatile|struct|signed)\b/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/ \*/g, '*')
    .trim();
  return TYPES[name] ?? (name.endsWith('*') ? 'pointer' : null);
}

class Parser {
  private at = 0;

  constructor(
    private readonly list: readonly Token[],
    private readonly text: string,
  ) {}

  whole(): Expression {
    const expression = this.sum();
    if (this.at < this.list.length) this.wrong();
    return expression;
  }

  private sum(): Expression {
    let left = this.unary();
    for (;;) {
      if (this.take('+')) left = { kind: 'sum', left, right: this.unary() };
      else if (this.take('-'))
        left = { kind: 'sum', left, right: { kind: 'negative', operand: this.unary() } };
      else return left;
    }
  }

  private unary(): Expression {
    if (this.take('-')) return { kind: 'negative', operand: this.unary() };
    if (this.take('&')) {
      const token = this.next();
      return token?.kind === 'name' ? { kind: 'address', name: token.text } : this.wrong();
    }
    const type = this.cast();
    if (type) return { kind: 'cast', type, operand: this.unary() };
    return this.postfix();
  }

  /** `(TYPE)` before an operand. */
  private cast(): ValueType | null {
    const start = this.at;
    if (!this.take('(')) return null;
    const words: string[] = [];
    for (let token = this.list[this.at]; token; token = this.list[this.at]) {
      if (token.kind !== 'name' && !(token.kind === 'sign' && token.text === '*')) break;
      words.push(token.text);
      this.at++;
    }
    const type = typeNamed(words.join(' '));
    if (type && this.take(')')) return type;
    this.at = start;
    return null;
  }

  private postfix(): Expression {
    let expression = this.primary();
    while (this.take('(')) {
      const list: Expression[] = [];
      while (!this.take(')')) {
        if (list.length > 0 && !this.take(',')) this.wrong();
        list.push(this.sum());
      }
      expression = { kind: 'call', callee: expression, arguments: list };
    }
    return expression;
  }

  private primary(): Expression {
    if (this.take('(')) {
      const inside = this.sum();
      return this.take(')') ? inside : this.wrong();
    }
    const token = this.next();
    switch (token?.kind) {
      case 'number':
        return token;
      case 'string':
        return { kind: 'string', text: token.text };
      case 'register':
        return { kind: 'register', name: token.text };
      case 'name':
        return { kind: 'symbol', name: token.text };
      default:
        return this.wrong();
    }
  }

  private next(): Token | undefined {
    return this.list[this.at++];
  }

  private take(sign: string): boolean {
    const token = this.list[this.at];
    if (token?.kind !== 'sign' || token.text !== sign) return false;
    this.at++;
    return true;
  }

  private wrong(): never {
    throw new RevenantError(
      'E_USAGE',
      `The expression ${JSON.stringify(this.text)} cannot be understood.`,
      'Calls, numbers, characters, strings, symbols, &symbol, $register, + and - and casts such as (int) are known.',
    );
  }
}

/** @throws RevenantError E_USAGE */
export function parseExpression(text: string): Expression {
  return new Parser(tokens(text), text).whole();
}
