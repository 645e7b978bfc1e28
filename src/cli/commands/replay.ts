import { elapsedText } from '../../engine/base/quantities.js';
import type { Logger } from '../../engine/base/log.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import { frameWithin } from '../../engine/trace/landmarks.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { shellStatus } from '../../jobs/model/result.js';
import { archiveOf } from '../../recording/checkpoint-folders.js';
import { Machines } from '../../recording/machines.js';
import { openTrace } from '../../recording/open.js';
import { runSession, type RunResult } from '../../recording/run.js';
import { noSuchFrame } from '../../recording/trace-index.js';
import { jsonValue } from '../failure.js';
import { Interrupt } from '../interrupt.js';
import type { CommandIo } from '../output.js';
import { formatPosition } from '../position.js';
import { ProgramOutput } from '../program-output.js';
import { Progress } from '../progress.js';
import type { TicksOption } from '../../recording/ticks-options.js';
import { recordingOptions, warner, type ReplayCommandOptions } from '../recordings.js';
import { resultDocument, summary } from '../summary.js';

/** Ticks; a processor counts about as many in ten milliseconds. */
const LONG_WAY = 1_000_000;

/** `mixed` is others by turns. */
type Way = Exclude<TicksOption, 'mixed'>;

/** What progress is told from. */
export type ProgressSource = Pick<ReplaySession, 'frameTime' | 'ticksSoFar'> & {
  readonly inside: {
    readonly frame: { readonly frameTime: number; readonly ticks: number };
    readonly task: { readonly recTicks: number };
    readonly strategy: Way;
  } | null;
};

/** `revenant replay TRACE`, to the end or a frame (`replayToPlace`: to other places). Returns the exit code; throws RevenantError. */
export async function replayCommand(
  folder: string,
  options: ReplayCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const until = options.goto?.kind === 'frame' ? options.goto.frame : undefined;
  const progress = new Progress(io, Boolean(options.quiet));
  const turns = new Interrupt();
  const machines = new Machines(options, log, (text) => progress.waiting(text));
  const trace = openTrace(folder, options, warner(io));
  const output = new ProgramOutput(io, progress, Boolean(options.json));
  let result: RunResult;
  try {
    if (until !== undefined) requireFrame(trace, until);
    result = await runSession({
      trace,
      machines,
      turns,
      log,
      output: (fd, bytes) => output.write(fd, bytes),
      stallLimit: options.stallLimit,
      until: until ?? Infinity,
      // Ticks must be verified from the beginning.
      archive:
        until === undefined || options.verifyTicks ? undefined : archiveOf(trace, recordingOptions(options)),
      onJump: (frame) =>
        progress.note(
          `from the checkpoint after frame ${frame}; what the program printed before is not repeated`,
        ),
      onLost: (text) => progress.note(text),
      verifyTicks: options.verifyTicks,
      ticks: options.ticks,
      now: () => io.now(),
      onTurn: (session, seconds) => progress.update(() => progressText(session, seconds)),
    });
  } finally {
    progress.clear();
    trace.close();
    machines.close();
    turns.dispose();
  }
  if (result.failure !== null) throw result.failure;
  report(folder, result, output, options, io);
  return 0;
}

/** Before anything is replayed: the trace says how many frames it has. */
function requireFrame(trace: TraceReader, frame: number): void {
  const last = frameWithin(trace, frame);
  trace.restore(trace.beginning);
  if (last !== frame) throw noSuchFrame(frame, last);
}

/** How an event is searched for, as progress has it. */
const WAYS: Readonly<Record<Way, string>> = {
  match: 'comparing registers',
  instrumented: 'counting by copies of the code',
  counter: "counting by the processor's counter",
  branches: 'counting by breakpoints',
  steps: 'counting by single steps',
};

/** Where the replay is; where the way to an event is long, which event that is, how it is searched for, and how far it is. */
export function progressText(session: ProgressSource, seconds: number): string {
  const { frameTime, inside, ticksSoFar } = session;
  const text = `frame ${frameTime}, ${elapsedText(seconds)}`;
  if (!inside) return text;
  const { frame, task, strategy } = inside;
  const isCounted = ticksSoFar >= 0;
  if (frame.ticks - (isCounted ? ticksSoFar : task.recTicks) < LONG_WAY) return text;
  const where = isCounted ? `tick ${ticksSoFar} of ${frame.ticks}` : `tick ${frame.ticks}`;
  return `${text}; ${WAYS[strategy]} to frame ${frame.frameTime}: ${where}`;
}

function report(
  folder: string,
  result: RunResult,
  output: ProgramOutput,
  options: ReplayCommandOptions,
  io: CommandIo,
): void {
  const position = options.goto === undefined ? null : result.position;
  if (output.captures) {
    const status = result.exitStatus === null ? null : shellStatus(result.exitStatus);
    const streams = output.documents();
    const commandSeconds = Number((io.now() / 1000).toFixed(6));
    const document = {
      trace: folder,
      ...resultDocument(result),
      commandSeconds,
      status,
      ...streams,
      position,
    };
    io.out(`${JSON.stringify(document, jsonValue)}\n`);
    return;
  }
  if (position) io.out(formatPosition(position));
  if (!options.quiet) io.err(summary(result, io.now() / 1000, io.columns(2)));
}
