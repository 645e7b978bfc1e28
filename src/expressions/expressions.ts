/**
 * Evaluates expressions in diversions, in one of two ways: simple calls with the symbol table
 * alone, which needs only the recording; everything else by gdb, which knows types.
 */
import fs from 'node:fs';
import { RevenantError } from '../engine/base/errors.js';
import { memoryOf } from '../engine/base/memory-values.js';
import type { MutableTarget } from '../engine/target.js';
import type { MappedSymbols } from '../engine/guest/mapped-symbols.js';
import { nearMisses, nearText, ambiguous } from '../engine/symbols/near.js';
import { isTypedCall, parseExpression, usesRegister, type Expression } from '../diversion/call/expression.js';
import { GdbEvaluator, type GdbEvaluatorOptions } from './gdb-evaluator.js';
import { NoGdb, type GdbAnswer } from './gdb-process.js';
import { evaluateBySymbols, type Evaluated } from '../diversion/call/evaluated.js';
import type { CallFrame, EvaluationSite, ExpressionEvaluator, Seat } from '../recording/divert.js';

export interface ExpressionsOptions extends GdbEvaluatorOptions {
  /** Gets messages for the user. */
  readonly note: (text: string) => void;
}

const failed = (text: string, hint?: string): RevenantError => new RevenantError('E_EXPRESSION', text, hint);

/** For one replay. */
export class Expressions implements ExpressionEvaluator {
  private readonly gdb: GdbEvaluator;
  private told = false;

  constructor(private readonly options: ExpressionsOptions) {
    this.gdb = new GdbEvaluator(options);
  }

  /**
   * Starts gdb if the expressions need it at any place.
   * @throws RevenantError E_DEBUGGER: gdb is not installed
   */
  async prepare(expressions: readonly string[]): Promise<void> {
    if (expressions.some((text) => simple(text) === null)) await this.gdb.prepare();
  }

  /**
   * @throws RevenantError E_EXPRESSION: it cannot be evaluated there; E_DIVERSION: a call did not
   * return; E_DEBUGGER: gdb is needed and not installed
   */
  async evaluate(text: string, site: EvaluationSite): Promise<Evaluated> {
    const expression = simple(text);
    if (expression && !usesRegister(expression) && !haveTypes(site.symbols))
      return evaluateBySymbols(text, site.bySymbols);
    try {
      const answer = await this.gdb.evaluate(asLine(text), site);
      if (answer.said) this.options.note(`${text}: ${answer.said}`);
      const isRefused = answer.error !== undefined && !answer.ran;
      const other =
        isRefused && expression && isTypedCall(expression) ? await bySymbolsIfAny(text, site) : null;
      return other ?? finished(answer, site);
    } catch (error) {
      if (!(error instanceof NoGdb) || !expression) throw error;
      this.tell(error);
      return evaluateBySymbols(text, site.bySymbols);
    }
  }

  /**
   * The stack with arguments and locals as gdb shows them; null without gdb.
   * @throws RevenantError E_EXPRESSION: gdb cannot read the program
   */
  async stack(seat: Seat): Promise<readonly CallFrame[] | null> {
    try {
      return await this.gdb.stack(seat);
    } catch (error) {
      if (error instanceof NoGdb) return null;
      throw error;
    }
  }

  /** Ends gdb. */
  close(): void {
    this.gdb.close();
  }

  private tell({ message, hint }: RevenantError): void {
    if (this.told) return;
    this.told = true;
    this.options.note(`${message} Types of values are guessed from their sizes. ${hint ?? ''}`.trim());
  }
}

function simple(text: string): Expression | null {
  try {
    return parseExpression(text);
  } catch {
    return null;
  }
}

/** Calls that gdb cannot make, but whose type is given: `(double)larger(1.5, 0.5)` of a template. */
async function bySymbolsIfAny(text: string, { bySymbols }: EvaluationSite): Promise<Evaluated | null> {
  try {
    return await evaluateBySymbols(text, bySymbols);
  } catch (error) {
    if (error instanceof RevenantError && error.code === 'E_EXPRESSION') return null;
    throw error;
  }
}

const MANGLED = /^_[ZR]/;

/** A folder for debug information, which no recording contains (gdb manual, "Separate Debug Files"). */
const debugFile = (id: string): string => `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`;

function haveTypes(symbols: MappedSymbols): boolean {
  const id = symbols.programBuildId();
  return symbols.haveTypes() || (id !== null && fs.existsSync(debugFile(id)));
}

/** One line is one gdb command; no literal contains control characters. */
function asLine(text: string): string {
  if (text.trim() === '') throw failed('The expression is empty.');
  // eslint-disable-next-line no-control-regex
  const strange = /[\x00-\x08\x0e-\x1f\x7f]/.exec(text);
  if (strange) throw failed(`The expression ${JSON.stringify(text)} has a control character.`);
  return text.replace(/\s/g, ' ').trim();
}

/** gdb's error as a message of ours. */
function finished(answer: GdbAnswer, { symbols, bySymbols, diversion, tid }: EvaluationSite): Evaluated {
  if (answer.ambiguous) {
    const { message, hint } = ambiguous(...answer.ambiguous);
    throw failed(message, hint);
  }
  if (answer.error !== undefined) throw meaningless(answer, symbols);
  const { textAt, text: shown = '', type = '', value = null } = answer;
  if (textAt === undefined) return { text: shown, type, value, address: null };
  const address = BigInt(textAt);
  if (address === 0n) return { text: '0x0', type, value: null, address: null };
  if (!isReadable(diversion, tid, address)) return { text: shown, type, value: null, address };
  const whole = bySymbols.readText(address);
  return { text: JSON.stringify(whole), type, value: whole, address };
}

const isReadable = (diversion: MutableTarget, tid: number, address: bigint): boolean =>
  memoryOf(diversion, tid)(Number(address), new Uint8Array(1)) === 1;

function meaningless({ error = '', names = [] }: GdbAnswer, symbols: MappedSymbols): RevenantError {
  const member = /^There is no member (?:or method )?named (.+)\.$/.exec(error)?.[1];
  const symbol = /^No symbol "(.+)" in (?:current context|namespace ".*")\.$/.exec(error)?.[1];
  const unknown = member ?? symbol;
  const known =
    symbol === undefined
      ? names
      : [...names, ...symbols.programNames().filter((name) => !MANGLED.test(name))];
  const near = unknown === undefined ? '' : nearText(nearMisses(unknown, known));
  const all = member !== undefined && near === '' ? nearText(names.slice(0, 12)) : near;
  return failed(error, all || undefined);
}
