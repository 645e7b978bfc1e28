/** Diversions for scripts: `await divert(source, async (d) => { await d.call('tree_sum', root); })`. */
import fs from 'node:fs';
import { RevenantError, invariant } from '../engine/base/errors.js';
import { gva } from '../engine/base/address.js';
import type {
  DebugStop,
  MutableTarget,
  OutputBuffers,
  OutputPart,
  StartDiversion,
  StartedDiversion,
} from '../engine/target.js';
import type { ClockMode } from '../diversion/base/clock.js';
import { ProgramBuffers } from '../diversion/call/buffers.js';
import { CallFailed } from '../diversion/call/caller.js';
import { Evaluator } from '../diversion/call/evaluate.js';
import type { MappedSymbols } from '../engine/guest/mapped-symbols.js';
import { mappedSymbols } from '../engine/replay/state/symbols.js';
import { TravelTarget } from '../engine/travel/target.js';
import { evaluateBySymbols, type Evaluated } from '../diversion/call/evaluated.js';
import { DEFAULT_POLICY, type DiversionLimits, type DiversionPolicy } from '../diversion/base/policy.js';
import { startDiversion, type DiversionSource } from '../diversion/start.js';
import { nextTurn, untilStop } from './stops.js';

/** A task of a diversion. */
export interface Seat {
  readonly diversion: MutableTarget;
  readonly buffers: OutputBuffers;
  /** The task whose innermost frame it is. */
  readonly tid: number;
  /** Called repeatedly during the evaluation; an exception ends it. */
  readonly turn: () => Promise<void>;
}

/** The place where an expression is evaluated. */
export interface EvaluationSite extends Seat {
  readonly symbols: MappedSymbols;
  /** Evaluates with the symbol table. */
  readonly bySymbols: Evaluator;
}

/** A frame of a stack, as debug information has it. */
export interface CallFrame {
  readonly function: string | null;
  readonly address: string;
  /** Its name in the debug information. */
  readonly file: string | null;
  readonly line: number | null;
  /** Arguments first. */
  readonly variables: readonly {
    readonly name: string;
    readonly value: string;
    readonly argument: boolean;
  }[];
}

/** Evaluates expressions that need types. */
export interface ExpressionEvaluator {
  /**
   * @throws RevenantError E_EXPRESSION: it cannot be evaluated there; E_DIVERSION: a call did not
   * return; E_DEBUGGER: it needs types, and there is no gdb
   */
  evaluate(text: string, site: EvaluationSite): Promise<Evaluated>;
  /** The stack of the task, innermost first; null if it cannot be determined. Throws E_EXPRESSION. */
  stack(seat: Seat): Promise<readonly CallFrame[] | null>;
}

export interface DivertOptions {
  /** Folders where writes are real. */
  readonly allowWrites?: readonly string[];
  readonly allowNet?: boolean;
  /** `now`: clocks are this machine's. `recorded`, the default: they continue from the recorded time. */
  readonly clock?: ClockMode;
  readonly limits?: Partial<DiversionLimits>;
  /** The evaluator with types; without it expressions are evaluated with the symbol table alone. */
  readonly expressions?: ExpressionEvaluator;
  /** Called between slices of work: yields to the event loop, or throws. */
  readonly turn?: () => Promise<void>;
}

export function policyOf({ allowWrites, allowNet, clock, limits }: DivertOptions): DiversionPolicy {
  return {
    allowWrites: allowWrites?.map(realFolder) ?? DEFAULT_POLICY.allowWrites,
    allowNet: allowNet ?? DEFAULT_POLICY.allowNet,
    clock: clock ?? DEFAULT_POLICY.clock,
    ownKill: DEFAULT_POLICY.ownKill,
    limits: { ...DEFAULT_POLICY.limits, ...limits },
  };
}

/** The path after the diversion's own resolution of links. */
function realFolder(folder: string): string {
  try {
    return fs.realpathSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new RevenantError('E_USAGE', `The folder ${folder} for real writes cannot be found (${code}).`);
  }
}

function symbolsOf({ core, tid }: DiversionSource, target: MutableTarget): MappedSymbols {
  const task = core.tasks.get(tid);
  invariant(task, 'the task that is diverted exists');
  return mappedSymbols(core.symbolizer, task, target.mappings(tid));
}

const buffersOf = (
  target: MutableTarget,
  symbols: MappedSymbols,
  say: (text: string) => void,
): ProgramBuffers => new ProgramBuffers(target, (name) => symbols.exact(name), say);

/** Makes a diversion of a stopped replay, for a debugger; `say` gets messages for the user. */
function startForDebugger(
  source: DiversionSource,
  policy: DiversionPolicy,
  say: (text: string) => void,
): StartedDiversion {
  const target = startDiversion(source, policy);
  return { target, buffers: buffersOf(target, symbolsOf(source, target), say) };
}

/** A live copy of a replay's state, for the duration of a callback. */
export class DiversionHandle {
  private readonly evaluator: Evaluator;
  private readonly symbols: MappedSymbols;
  private readonly tid: number;
  private readonly buffers: ProgramBuffers;
  private readonly written: OutputPart[] = [];

  constructor(
    /** For breakpoints, registers, memory, steps. */
    readonly target: MutableTarget,
    source: DiversionSource,
    private readonly turn: () => Promise<void>,
    private readonly expressions: ExpressionEvaluator | null,
  ) {
    this.tid = source.tid;
    this.symbols = symbolsOf(source, target);
    this.buffers = buffersOf(target, this.symbols, (text) => source.core.log.warn({}, text));
    this.evaluator = new Evaluator(target, this.symbols, () => this.wait(), {
      before: (task, floor) => this.buffers.before(task, turn, floor),
      after: (task, floor) => this.buffers.after(task, turn, floor),
    });
  }

  /**
   * What the diverted program wrote to its standard output so far. Text that a call leaves in
   * buffers of stdio, C++ streams and Python is flushed when it returns; text that the recorded
   * program had in them is not included.
   */
  get stdout(): string {
    return this.text(({ stream }) => stream === 1);
  }

  get stderr(): string {
    return this.text(({ stream }) => stream === 2);
  }

  /** Both, in the order of the writes. */
  get output(): string {
    return this.text(() => true);
  }

  /** Decoded as a whole: a character may be written in parts. */
  private text(wanted: (part: OutputPart) => boolean): string {
    this.written.push(...this.target.takeOutput());
    return Buffer.concat(this.written.filter(wanted).map(({ bytes }) => bytes)).toString('utf8');
  }

  /**
   * Calls a function by name. Strings are copied into the program's memory.
   * @returns rax, as a signed 64-bit number
   * @throws RevenantError E_DIVERSION if the call crashes, exits or reaches a limit; E_USAGE: no such function
   */
  async call(name: string, ...values: (number | bigint | string)[]): Promise<bigint> {
    return this.settled(async () => BigInt.asIntN(64, (await this.evaluator.call(name, values)).bits));
  }

  /**
   * An expression as of `revenant call`: `*root`, `(char*)describe(root)`. Its changes, and effects of calls in it,
   * last for the rest of the diversion.
   * @throws RevenantError E_EXPRESSION: it cannot be evaluated here; E_DIVERSION: a call in it did not return;
   * E_DEBUGGER: it needs types, and there is no gdb
   */
  async evaluate(expression: string): Promise<Evaluated> {
    const { expressions, evaluator: bySymbols, symbols, target: diversion, buffers, tid, turn } = this;
    const place = { bySymbols, symbols, diversion, buffers, tid, turn };
    return this.settled(() =>
      expressions ? expressions.evaluate(expression, place) : evaluateBySymbols(expression, bySymbols),
    );
  }

  /** What a call printed before it failed is output, too. */
  private async settled<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { target, buffers, evaluator, tid, turn } = this;
      if (error instanceof CallFailed && target.tasks().some((task) => task.tid === tid))
        await buffers.after(tid, turn, evaluator.floor);
      throw error;
    }
  }

  /** The task's stack from gdb, innermost first; null without gdb. Throws E_EXPRESSION. */
  async stack(): Promise<readonly CallFrame[] | null> {
    const { target: diversion, buffers, tid, turn } = this;
    return this.expressions ? this.expressions.stack({ diversion, buffers, tid, turn }) : null;
  }

  /** The NUL-terminated string at an address. */
  readText(at: bigint | number): string {
    return this.evaluator.readText(BigInt(at));
  }

  readMemory(at: bigint | number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, this.target.readMemory(this.target.currentTid, gva(Number(at)), bytes));
  }

  writeMemory(at: bigint | number, bytes: Uint8Array): number {
    return this.target.writeMemory(this.target.currentTid, gva(Number(at)), bytes);
  }

  /** Runs to the next stop: a breakpoint, a signal, the end. */
  async continue(signal = 0): Promise<DebugStop> {
    const tid = this.target.currentTid;
    this.buffers.runsOn();
    this.target.begin({ direction: 'forward', tid, mode: { kind: 'continue' }, signal });
    return this.wait();
  }

  private wait(): Promise<DebugStop> {
    return untilStop(this.target, this.turn);
  }
}

/**
 * Makes a diversion of a stopped replay, and ends it when `work` returns or throws; the replay does not move.
 */
export async function divert<T>(
  source: DiversionSource,
  work: (diversion: DiversionHandle) => Promise<T>,
  options: DivertOptions = {},
): Promise<T> {
  const target = startDiversion(source, policyOf(options));
  try {
    return await work(
      new DiversionHandle(target, source, options.turn ?? nextTurn, options.expressions ?? null),
    );
  } finally {
    target.close();
  }
}

/** A replay and the task to divert. */
export const sourceOf = (
  { session, dataBreakpoints }: Pick<TravelTarget, 'session' | 'dataBreakpoints'>,
  tid: number,
): DiversionSource => ({ ...session.stand(), tid, dataBreakpoints });

export interface DiversionStarterOptions
  extends Omit<DivertOptions, 'expressions' | 'turn'>, Partial<Pick<DiversionPolicy, 'ownKill'>> {}

/** Makes diversions of replays that were opened here, for debuggers. */
export function diversionStarter(options: DiversionStarterOptions = {}): StartDiversion {
  const { ownKill = DEFAULT_POLICY.ownKill } = options;
  const policy = { ...policyOf(options), ownKill };
  return (replay, say) => {
    invariant(replay instanceof TravelTarget, 'a replay that was opened by openRecording');
    return startForDebugger(sourceOf(replay, replay.currentTid), policy, say);
  };
}
