import type { Gva } from '../../engine/base/address.js';
import { RevenantError } from '../../engine/base/errors.js';
import { memoryOf, readText } from '../../engine/base/memory-values.js';
import type { MutableTarget } from '../../engine/target.js';
import type { FoundSymbol } from '../../engine/guest/mapped-symbols.js';
import { Caller, type Argument, type WaitForStop } from './caller.js';
import { parseExpression, type Expression } from './expression.js';
import { argumentsFor, overloadFor } from './overloads.js';
import { cast, isReal, long, real, shortest, type Value } from './value.js';

/** What symbols are called in the recorded program. */
export interface SymbolLookup {
  /** null: no such symbol. */
  find(name: string): FoundSymbol | null;
  /** All candidates for the name: overloads. */
  all(name: string): readonly FoundSymbol[];
}

/**
 * Called around each call in its stopped task, to flush what calls leave in buffers. The task's stack above `floor`
 * must be preserved.
 */
export interface CallBuffers {
  before(tid: number, floor: number): Promise<void>;
  after(tid: number, floor: number): Promise<void>;
}

export type { Value } from './value.js';

const MAX_TEXT = 1 << 16;

/** Evaluates expressions in a diversion; the calls in them run there. */
export class Evaluator {
  private readonly caller: Caller;
  /** Functions that resolvers chose, by the resolver's address: called once, as by the dynamic linker. */
  private readonly resolved = new Map<Gva, bigint>();

  constructor(
    private readonly target: MutableTarget,
    private readonly symbols: SymbolLookup,
    private readonly wait: WaitForStop,
    private readonly buffers: CallBuffers | null = null,
  ) {
    this.caller = new Caller(target);
  }

  /** Data that it has placed on the stack is above. */
  get floor(): number {
    return this.caller.freeBelow;
  }

  /** @throws RevenantError E_USAGE for what cannot be evaluated, CallFailed for a call that does not return */
  async evaluate(text: string): Promise<Value> {
    return this.value(parseExpression(text));
  }

  /** A call by name with values of the caller: strings are copied into the program's memory. */
  async call(name: string, values: readonly (number | bigint | string)[]): Promise<Value> {
    const placed = values.map((value) => (typeof value === 'string' ? this.text(value) : BigInt(value)));
    return this.run(await this.addressOf(name), placed);
  }

  private async value(expression: Expression): Promise<Value> {
    switch (expression.kind) {
      case 'number':
        return long(expression.value);
      case 'float':
        return real(expression.value, expression.isSingle);
      case 'string':
        return { type: 'string', bits: this.text(expression.text), float: 0 };
      case 'register':
        return long(this.caller.register(expression.name));
      case 'symbol':
        return this.variable(expression.name);
      case 'address':
        return { ...long(await this.addressOf(expression.name)), type: 'pointer' };
      case 'negative': {
        const operand = await this.value(expression.operand);
        return isReal(operand) ? real(-operand.float, operand.type === 'float') : long(-operand.bits);
      }
      case 'sum': {
        const [left, right] = [await this.value(expression.left), await this.value(expression.right)];
        return isReal(left) || isReal(right) ? real(left.float + right.float) : long(left.bits + right.bits);
      }
      case 'cast':
        return cast(await this.value(expression.operand), expression.type);
      case 'call': {
        const { callee } = expression;
        const address = callee.kind === 'symbol' ? null : (await this.value(callee)).bits;
        const candidates = callee.kind === 'symbol' ? this.symbols.all(callee.name) : [];
        if (callee.kind === 'symbol' && candidates.length === 0) throw noSymbol(callee.name);
        const values: Value[] = [];
        for (const argument of expression.arguments) values.push(await this.value(argument));
        if (callee.kind !== 'symbol') return this.run(address ?? 0n, argumentsFor(null, values));
        const chosen = overloadFor(callee.name, candidates, values);
        return this.run(await this.resolve(chosen), argumentsFor(chosen, values));
      }
    }
  }

  /** Of a variable or function; of an IFUNC that of the function which its resolver chooses here. */
  private async addressOf(name: string): Promise<bigint> {
    const symbol = this.symbols.find(name);
    if (!symbol) throw noSymbol(name);
    return this.resolve(symbol);
  }

  private async resolve({ address, isResolver }: FoundSymbol): Promise<bigint> {
    if (!isResolver) return BigInt(address);
    let chosen = this.resolved.get(address);
    if (chosen === undefined) {
      chosen = (await this.caller.run(BigInt(address), [], this.wait)).value;
      this.resolved.set(address, chosen);
    }
    return chosen;
  }

  /** As large as the symbol; if larger than a register, its address, as for arrays. */
  private async variable(name: string): Promise<Value> {
    const symbol = this.symbols.find(name);
    if (!symbol) throw noSymbol(name);
    const { address, size, isCode } = symbol;
    if (isCode || ![1, 2, 4, 8].includes(size))
      return { ...long(await this.addressOf(name)), type: 'pointer' };
    const bytes = new Uint8Array(8);
    if (this.target.readMemory(this.caller.tid, address, bytes.subarray(0, size)) < size)
      throw new RevenantError('E_DIVERSION', `The variable ${name} cannot be read.`);
    const view = new DataView(bytes.buffer);
    return long(size === 4 ? BigInt(view.getInt32(0, true)) : view.getBigInt64(0, true));
  }

  private text(text: string): bigint {
    return BigInt(this.caller.place(Buffer.from(`${text}\0`)));
  }

  private async run(address: bigint, values: readonly Argument[]): Promise<Value> {
    const { caller, buffers, wait } = this;
    await buffers?.before(caller.tid, caller.freeBelow);
    const { value, float, single } = await caller.run(address, values, wait);
    await buffers?.after(caller.tid, caller.freeBelow);
    return { type: 'long', bits: value, float, single };
  }

  /** The string at an address of the program's. */
  readText(at: bigint): string {
    const { bytes } = readText(memoryOf(this.target, this.caller.tid), Number(at), MAX_TEXT);
    return Buffer.from(bytes).toString('utf8');
  }

  /** As a debugger prints it. */
  format({ type, bits, float }: Value): string {
    switch (type) {
      case 'int':
        return BigInt.asIntN(32, bits).toString();
      case 'char':
        return BigInt.asIntN(8, bits).toString();
      case 'unsigned':
        return BigInt.asUintN(64, bits).toString();
      case 'unsigned int':
        return BigInt.asUintN(32, bits).toString();
      case 'short':
        return BigInt.asIntN(16, bits).toString();
      case 'double':
        return String(float);
      case 'float':
        return shortest(float);
      case 'pointer':
        return `0x${BigInt.asUintN(64, bits).toString(16)}`;
      case 'string':
        return bits === 0n ? '0x0' : JSON.stringify(this.readText(BigInt.asUintN(64, bits)));
      case 'void':
        return 'void';
      case 'long':
        return BigInt.asIntN(64, bits).toString();
    }
  }
}

const noSymbol = (name: string): RevenantError =>
  new RevenantError(
    'E_USAGE',
    `Unknown symbol ${name}: not in the recorded program or its libraries.`,
    'Static functions of stripped programs have no symbol; a number may be called instead: 0x401136(1).',
  );
