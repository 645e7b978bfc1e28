import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import type { Logger } from '../../engine/base/log.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { divert, type DivertOptions } from '../../api/divert.js';
import { jsonValue } from '../failure.js';
import { TraceScan } from '../debug/facts.js';
import { Interrupt } from '../interrupt.js';
import { Machines } from '../machines.js';
import type { CommandIo } from '../output.js';
import { openTrace, type ReplayCommandOptions } from './replay.js';

export interface CallOptions extends ReplayCommandOptions {
  /** FRAME, SYMBOL, SYMBOL:HIT or `end`, in the order of the recording or not. */
  at: string[];
  allowWrites?: string[];
  allowNet?: boolean;
  timeLimit: number;
  outputLimit: number;
  memoryLimit: number;
}

type Place =
  | { readonly kind: 'frame'; readonly frame: number; readonly text: string }
  | { readonly kind: 'symbol'; readonly name: string; readonly hit: number; readonly text: string }
  | { readonly kind: 'end'; readonly text: string };

interface Outcome {
  readonly at: string;
  readonly frame: number;
  readonly tid: number;
  readonly expression: string;
  /** As it is printed; null where the call failed. */
  readonly result: string | null;
  readonly value: bigint | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly stdout: string;
  readonly stderr: string;
}

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

export function parsePlace(text: string): Place {
  if (text === 'end') return { kind: 'end', text };
  if (/^\d{1,12}$/.test(text)) return { kind: 'frame', frame: Number(text), text };
  const match = /^([A-Za-z_][\w.]*)(?::(\d{1,9}))?$/.exec(text);
  if (!match) throw usage(`--at ${text} is no place.`, 'Say a frame, a symbol, SYMBOL:HIT (from 1), or end.');
  return { kind: 'symbol', name: match[1], hit: Number(match[2] ?? 1), text };
}

/** `revenant call TRACE --at PLACE EXPRESSION...`: every expression at every place, each in a diversion of its own. */
export async function callCommand(
  folder: string,
  expressions: readonly string[],
  options: CallOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const places = (options.at.length > 0 ? options.at : ['end']).map(parsePlace);
  const interrupt = new Interrupt();
  const machines = new Machines(options, log, (text) => options.quiet || io.err(`revenant: ${text}\n`));
  const trace = openTrace(folder, options, io);
  let target: TravelTarget | null = null;
  try {
    const { machine, memoryLimitBytes, attestation } = await interrupt.guard(machines.forTrace(trace));
    target = TravelTarget.open({
      trace,
      machine,
      log,
      memoryLimitBytes,
      stallLimitMicros: options.stallLimit * 1e6,
      dataBreakpoints: attestation.dataBreakpoints,
      // What the recorded program printed is known; only what calls print is asked for.
      output: () => {},
    });
    const run = new CallRun(target, new TraceScan(() => TraceReader.open(folder)), interrupt, options, log);
    const outcomes: Outcome[] = [];
    for (const place of places) {
      const tid = await run.goTo(place);
      for (const expression of expressions) {
        const outcome = await run.call(place, tid, expression);
        outcomes.push(outcome);
        if (!options.json) print(outcome, places.length > 1, io);
      }
    }
    if (options.json) io.out(`${JSON.stringify({ trace: folder, calls: outcomes }, jsonValue)}\n`);
    return outcomes.some(({ error }) => error !== null) ? ExitCode.diversion : ExitCode.ok;
  } finally {
    target?.close();
    trace.close();
    machines.close();
    interrupt.dispose();
  }
}

function print(outcome: Outcome, named: boolean, io: CommandIo): void {
  if (outcome.stdout !== '') io.out(outcome.stdout);
  if (outcome.stderr !== '') io.err(outcome.stderr);
  const where = named ? `${outcome.at}: ` : '';
  if (outcome.error) io.err(`revenant: ${where}${outcome.expression}: ${outcome.error.message}\n`);
  else io.out(`${where}${outcome.expression} = ${outcome.result}\n`);
}

/** One replay, taken from place to place. */
class CallRun {
  constructor(
    private readonly target: TravelTarget,
    private readonly scan: TraceScan,
    private readonly interrupt: Interrupt,
    private readonly options: CallOptions,
    private readonly log: Logger,
  ) {}

  /** Returns the task that the place is of. */
  async goTo(place: Place): Promise<number> {
    const first = this.scan.firstExec();
    if (first === null) throw usage('The recording has no program: it ends before the first exec.');
    if (place.kind === 'frame') return this.toFrame(Math.max(first, place.frame));
    await this.toFrame(first);
    return place.kind === 'end' ? this.toEnd() : this.toSymbol(place);
  }

  private async toFrame(frame: number): Promise<number> {
    this.target.beginGoto(frame);
    await this.arrive();
    if (this.target.frameTime < frame)
      throw usage(`There is no frame ${frame}: the recording ends with frame ${this.target.frameTime}.`);
    return this.target.currentTid;
  }

  /** Before the last process ends. */
  private async toEnd(): Promise<number> {
    for (;;) {
      const stop = await this.continue();
      if (stop.kind === 'exited' && new Set(this.target.tasks().map(({ pid }) => pid)).size === 1)
        return stop.tid;
      if (stop.kind === 'history-end') throw usage('No process ends in this recording; name a frame.');
    }
  }

  /** The program is not loaded at its first instruction: libraries' symbols appear as frames pass. */
  private async toSymbol({ name, hit }: Extract<Place, { kind: 'symbol' }>): Promise<number> {
    let address = this.target.symbol(this.target.currentTid, name);
    while (address === null) {
      this.target.beginGoto(this.target.frameTime + 1);
      const stop = await this.arrive();
      if (stop.kind === 'history-end') throw usage(`There is no symbol ${name} in the recorded programs.`);
      address = this.target.symbol(this.target.currentTid, name);
    }
    const breakpoint = { pid: null, address };
    this.target.addBreakpoint(breakpoint);
    try {
      for (let hits = 0; ;) {
        const stop = await this.continue();
        if (stop.kind === 'history-end')
          throw usage(`${name} is reached ${hits} times in this recording, not ${hit}.`);
        if (stop.kind === 'breakpoint' && ++hits === hit) return stop.tid;
      }
    } finally {
      this.target.removeBreakpoint(breakpoint);
    }
  }

  private continue(): ReturnType<CallRun['arrive']> {
    const tid = this.target.currentTid;
    this.target.begin({ direction: 'forward', tid, mode: { kind: 'continue' } });
    return this.arrive();
  }

  private async arrive(): Promise<NonNullable<ReturnType<TravelTarget['poll']>>> {
    for (;;) {
      const stop = this.target.poll();
      if (stop) return stop;
      await this.interrupt.turn();
    }
  }

  async call(place: Place, tid: number, expression: string): Promise<Outcome> {
    const { timeLimit, outputLimit, memoryLimit, allowWrites, allowNet } = this.options;
    const limits = { seconds: timeLimit, outputBytes: outputLimit, memoryBytes: memoryLimit };
    const options: DivertOptions = { allowWrites, allowNet, limits, turn: () => this.interrupt.turn() };
    const base = { at: place.text, frame: this.target.frameTime, tid, expression };
    const source = { ...this.target.session.stand(), tid };
    return divert(
      source,
      async (diversion) => {
        try {
          const { value, text } = await diversion.evaluate(expression);
          const { stdout, stderr } = diversion;
          return { ...base, result: text, value: BigInt.asIntN(64, value.bits), error: null, stdout, stderr };
        } catch (error) {
          if (!(error instanceof RevenantError) || error.code !== 'E_DIVERSION') throw error;
          this.log.info({ expression, error: error.message }, 'a call failed');
          const { stdout, stderr } = diversion;
          const failure = { code: error.code, message: error.message };
          return { ...base, result: null, value: null, error: failure, stdout, stderr };
        }
      },
      options,
    );
  }
}
