import { type ErrorCode, ExitCode, RevenantError } from '../../engine/base/errors.js';
import type { Logger } from '../../engine/base/log.js';
import type { ExpressionValue } from '../../diversion/call/evaluated.js';
import type { ClockMode } from '../../diversion/base/clock.js';
import { openEvaluating, type EvaluatingRecording } from '../../expressions/open.js';
import { divert, sourceOf, type DivertOptions } from '../../recording/divert.js';
import { PlaceNavigator } from '../../recording/navigator.js';
import { requirePlace } from '../../recording/place.js';
import { jsonValue } from '../failure.js';
import { Interrupt } from '../interrupt.js';
import { Losses } from '../../recording/losses.js';
import type { CommandIo } from '../output.js';
import { recordingOptions, warner, type ReplayCommandOptions } from '../recordings.js';

export interface CallOptions extends ReplayCommandOptions {
  /** Places as of `requirePlace`, in the order of the recording or not. */
  at: string[];
  allowWrites?: string[];
  allowNet?: boolean;
  clock?: ClockMode;
  timeLimit: number;
  outputLimit: number;
  memoryLimit: number;
  /** The gdb that evaluates expressions with types. */
  gdb: string;
}

interface Outcome {
  readonly at: string;
  readonly frame: number;
  readonly tid: number;
  readonly expression: string;
  /** As printed; null if the call failed. */
  readonly result: string | null;
  readonly type: string | null;
  /** See Evaluated. */
  readonly value: ExpressionValue;
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string } | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `revenant call TRACE --at PLACE EXPRESSION...`: every expression at every place, each in its own diversion. */
export async function callCommand(
  folder: string,
  expressions: readonly string[],
  options: CallOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const at = options.at.length > 0 ? options.at : ['end'];
  const places = at.map((text) => ({ text, place: requirePlace(text, '--at') }));
  const note = (text: string): unknown => options.quiet || io.err(`revenant: ${text}\n`);
  const turns = new Interrupt();
  const outcomes: Outcome[] = [];
  const losses = new Losses();
  const wanted = places.flatMap((place) => expressions.map((expression) => ({ ...place, expression })));
  let opened: EvaluatingRecording | null = null;
  try {
    while (outcomes.length < wanted.length) {
      try {
        // The recorded program's output is not printed, only that of calls.
        opened = await openEvaluating({
          folder,
          options: recordingOptions(options),
          log,
          turns,
          gdb: options.gdb,
          note,
          // Reported once.
          warn: outcomes.length === 0 ? warner(io) : undefined,
        });
        await opened.expressions.prepare(expressions);
        const run = new CallRun(opened, turns, options, log);
        const navigator = new PlaceNavigator(opened, turns);
        if (outcomes.length === 0) for (const { place } of places) await navigator.check(place);
        for (const { text, place, expression } of wanted.slice(outcomes.length)) {
          const outcome = await run.call(text, await navigator.to(place), expression);
          outcomes.push(outcome);
          if (!options.json) print(outcome, places.length > 1, io);
        }
      } catch (error) {
        // Calls change nothing: those without a result yet are repeated.
        if (!losses.mayGoOn(error, outcomes.length)) throw error;
        note(`${(error as Error).message} Continuing on another machine`);
        opened?.close();
        opened = null;
      }
    }
    if (options.json) io.out(`${JSON.stringify({ trace: folder, calls: outcomes }, jsonValue)}\n`);
    return exitCodeOf(outcomes);
  } finally {
    opened?.close();
    turns.dispose();
  }
}

function exitCodeOf(outcomes: readonly Outcome[]): number {
  const failed = (code: ErrorCode): boolean => outcomes.some(({ error }) => error?.code === code);
  if (failed('E_DIVERSION')) return ExitCode.diversion;
  return failed('E_EXPRESSION') ? ExitCode.usage : ExitCode.ok;
}

function print(outcome: Outcome, named: boolean, io: CommandIo): void {
  if (outcome.stdout !== '') io.out(outcome.stdout);
  if (outcome.stderr !== '') io.err(outcome.stderr);
  const where = named ? `${outcome.at}: ` : '';
  const { error } = outcome;
  if (error) io.err(`revenant: ${where}${outcome.expression}: ${error.message}\n`);
  else io.out(`${where}${outcome.expression} = ${outcome.result}\n`);
  if (error?.code === 'E_EXPRESSION' && error.hint) io.err(`revenant: ${error.hint}\n`);
}

/** Errors of one expression: others can be evaluated. */
const isOwn = (error: unknown): error is RevenantError =>
  error instanceof RevenantError && ['E_DIVERSION', 'E_EXPRESSION'].includes(error.code);

/** Calls at the current place. */
class CallRun {
  constructor(
    private readonly opened: EvaluatingRecording,
    private readonly turns: Interrupt,
    private readonly options: CallOptions,
    private readonly log: Logger,
  ) {}

  async call(at: string, tid: number, expression: string): Promise<Outcome> {
    const { timeLimit, outputLimit, memoryLimit, allowWrites, allowNet, clock } = this.options;
    const limits = { seconds: timeLimit, outputBytes: outputLimit, memoryBytes: memoryLimit };
    const { target, expressions } = this.opened;
    const options: DivertOptions = {
      expressions,
      allowWrites,
      allowNet,
      clock,
      limits,
      turn: () => this.turns.turn(),
    };
    const base = { at, frame: target.frameTime, tid, expression };
    return divert(
      sourceOf(target, tid),
      async (diversion) => {
        try {
          const { value, type, text } = await diversion.evaluate(expression);
          const { stdout, stderr } = diversion;
          return { ...base, result: text, type, value, error: null, stdout, stderr };
        } catch (error) {
          if (!isOwn(error)) throw error;
          this.log.info({ expression, error: error.message }, 'a call failed');
          const { stdout, stderr } = diversion;
          const { code, message, hint } = error;
          const failure = { code, message, hint };
          return { ...base, result: null, type: null, value: null, error: failure, stdout, stderr };
        }
      },
      options,
    );
  }
}
