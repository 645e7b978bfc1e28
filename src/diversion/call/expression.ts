/** Expressions that `revenant call` evaluates: calls, numbers, strings, symbols, registers. */
import { RevenantError } from '../../engine/base/errors.js';
import { tokens, type Token } from './literals.js';

/** What the value of an expression is to be taken for. */
export type ValueType =
  | 'long'
  | 'int'
  | 'short'
  | 'char'
  | 'unsigned'
  | 'unsigned int'
  | 'pointer'
  | 'string'
  | 'double'
  | 'float'
  | 'void';

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number; readonly isSingle: boolean }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'register'; readonly name: string }
  /** The value of a variable, or the address of a function. */
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'address'; readonly name: string }
  | { readonly kind: 'cast'; readonly type: ValueType; readonly operand: Expression }
  | { readonly kind: 'negative'; readonly operand: Expression }
  | { readonly kind: 'sum'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'call'; readonly callee: Expression; readonly arguments: readonly Expression[] };

const TYPES: Readonly<Record<string, ValueType>> = {
  long: 'long',
  'long long': 'long',
  'unsigned long': 'unsigned',
  'long int': 'long',
  'unsigned long int': 'unsigned',
  'unsigned long long': 'unsigned',
  int64_t: 'long',
  ssize_t: 'long',
  size_t: 'unsigned',
  uint64_t: 'unsigned',
  uintptr_t: 'unsigned',
  unsigned: 'unsigned int',
  'unsigned int': 'unsigned int',
  uint32_t: 'unsigned int',
  short: 'short',
  int16_t: 'short',
  int: 'int',
  int32_t: 'int',
  bool: 'int',
  _Bool: 'int',
  char: 'char',
  double: 'double',
  float: 'float',
  void: 'void',
  'char*': 'string',
};

/** The type of a cast as written: `int`, `const char *`, `struct node *`; null: unknown. */
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
      case 'float':
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
      'Supported are calls, numbers, characters, strings, symbols, &symbol, $register, + and - and casts such as (int).',
    );
  }
}

/** Whether a register is named in it. */
export function usesRegister(expression: Expression): boolean {
  switch (expression.kind) {
    case 'register':
      return true;
    case 'cast':
    case 'negative':
      return usesRegister(expression.operand);
    case 'sum':
      return usesRegister(expression.left) || usesRegister(expression.right);
    case 'call':
      return [expression.callee, ...expression.arguments].some(usesRegister);
    default:
      return false;
  }
}

/** A call with a cast before it, which is its result type. */
export const isTypedCall = (expression: Expression): boolean =>
  expression.kind === 'cast' && expression.operand.kind === 'call';

/** @throws RevenantError E_USAGE */
export function parseExpression(text: string): Expression {
  return new Parser(tokens(text) ?? [], text).whole();
}
