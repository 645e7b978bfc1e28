import type { PlaceText } from '../../engine/base/place.js';
import { elapsedText } from '../../engine/base/quantities.js';
import type { Logger } from '../../engine/base/log.js';
import { RevenantError } from '../../engine/base/errors.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import { frameWithin } from '../../engine/trace/landmarks.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { Capture } from '../capture.js';
import { jsonValue } from '../failure.js';
import { shellStatus } from '../../jobs/find-traces.js';
import { Interrupt } from '../interrupt.js';
import type { MachineOptions } from '../../recording/machines.js';
import { Machines } from '../../recording/machines.js';
import { archiveOf, type CheckpointOptions } from '../checkpoint-folders.js';
import type { CommandIo } from '../output.js';
import { formatPosition } from '../position.js';
import { printable } from '../printable.js';
import { Progress } from '../progress.js';
import type { RunResult } from '../run.js';
import { runSession } from '../run.js';
import { resultDocument, summary } from '../summary.js';
import { recordingDoubt } from '../../engine/trace/header.js';

export interface ReplayCommandOptions extends MachineOptions, CheckpointOptions {
  /** Seconds the guest may run without reaching the next frame. */
  stallLimit: number;
  goto?: PlaceText;
  verifyTicks?: boolean;
  /** Absolute file names in the trace are files of this machine. */
  unpacked?: boolean;
  /** Folders in which files may lie that the trace names or links to. */
  files?: string[];
  /** Trace whose header stands in for the missing one of a trace whose recorder was killed. */
  like?: string;
  json?: boolean;
  quiet?: boolean;
}

/** Opens a trace to be replayed; a file of this machine that is not the recorded one is warned about. */
export function openTrace(folder: string, options: ReplayCommandOptions, io: CommandIo): TraceReader {
  const warn = (text: string): void => io.err(`revenant: warning: ${printable(text)}\n`);
  const trace = TraceReader.open(folder, {
    onForeignFile: options.unpacked ? warn : undefined,
    fileFolders: options.files,
    header: options.like === undefined ? undefined : TraceReader.headerOf(options.like),
  });
  if (trace.incomplete) warn(`the recorder of ${folder} was killed; what it had written is replayed`);
  const doubt = recordingDoubt(trace.header);
  if (doubt !== null) warn(doubt);
  return trace;
}

/** `revenant replay TRACE`, to the end or a frame (`replayToPlace`: to other places). Returns the exit code; throws RevenantError. */
export async function replayCommand(
  folder: string,
  options: ReplayCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const until = options.goto?.kind === 'frame' ? options.goto.frame : undefined;
  const progress = new Progress(io, Boolean(options.quiet));
  const interrupt = new Interrupt();
  const machines = new Machines(options, log, (text) => progress.waiting(text));
  const trace = openTrace(folder, options, io);
  const output = new ProgramOutput(io, progress, Boolean(options.json));
  let result: RunResult;
  try {
    if (until !== undefined) requireFrame(trace, until);
    result = await runSession({
      trace,
      machines,
      interrupt,
      log,
      output: (fd, bytes) => output.write(fd, bytes),
      stallLimit: options.stallLimit,
      until: until ?? Infinity,
      // Ticks are to be verified from the beginning.
      archive: until === undefined || options.verifyTicks ? undefined : archiveOf(trace, options),
      onJump: (frame) =>
        progress.note(
          `from the checkpoint behind frame ${frame}; what the program printed before is not repeated`,
        ),
      onLost: (text) => progress.note(text),
      verifyTicks: options.verifyTicks,
      now: () => io.now(),
      onTurn: (session, seconds) => progress.update(() => progressText(session, seconds)),
    });
  } finally {
    progress.clear();
    trace.close();
    machines.close();
    interrupt.dispose();
  }
  if (result.failure !== null) throw result.failure;
  report(folder, result, output, options, io);
  return 0;
}

/** Before anything is replayed: the trace says how many frames it has. */
function requireFrame(trace: TraceReader, frame: number): void {
  const last = frameWithin(trace, frame);
  trace.restore(trace.beginning);
  if (last === frame) return;
  throw new RevenantError(
    'E_USAGE',
    `There is no frame ${frame}: ${trace.directory} ends with frame ${last}.`,
  );
}

/** The program's output: through to ours byte for byte, or captured for the JSON document. */
export class ProgramOutput {
  readonly captures: { 1: Capture; 2: Capture } | null;

  constructor(
    private readonly io: CommandIo,
    private readonly progress: Progress,
    json: boolean,
  ) {
    this.captures = json ? { 1: new Capture(), 2: new Capture() } : null;
  }

  /** For a JSON document; null where the output went through. */
  documents(): { readonly stdout: unknown; readonly stderr: unknown } | null {
    const { captures } = this;
    return captures && { stdout: captures[1].document(), stderr: captures[2].document() };
  }

  write(fd: 1 | 2, bytes: Uint8Array): void {
    if (this.captures) {
      this.captures[fd].add(bytes);
      return;
    }
    this.progress.clear();
    this.io.bytes(fd, bytes);
  }
}

const progressText = (session: ReplaySession, seconds: number): string =>
  `frame ${session.frameTime}, ${elapsedText(seconds)}`;

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
