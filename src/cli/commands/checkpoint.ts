import fs from 'node:fs';
import path from 'node:path';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { countText, sizeText } from '../../engine/base/quantities.js';
import type { Logger } from '../../engine/base/log.js';
import { checkpointName, findCheckpoints, type Found } from '../../engine/persist/archive.js';
import { writeCheckpoint } from '../../engine/persist/file.js';
import { traceIdentity } from '../../engine/persist/identity.js';
import type { Checkpoint } from '../../engine/replay/state/checkpoint.js';
import { ReplaySession } from '../../engine/replay/session.js';
import { tickStrategyFor } from '../../engine/replay/ticks/choose.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { cachedFolder, checkpointFolders, folderToWrite } from '../checkpoint-folders.js';
import { Interrupt } from '../interrupt.js';
import { Machines } from '../../recording/machines.js';
import type { CommandIo } from '../output.js';
import { Progress } from '../progress.js';
import { formatTable } from '../table.js';
import { openTrace, type ReplayCommandOptions } from './replay.js';

export interface CheckpointCommandOptions extends ReplayCommandOptions {
  /** Frames to keep, in any order. */
  at: number[];
  /** Frames from one to the next. */
  every?: number;
  /** The folder to write to, to list or to clear. */
  output?: string;
  cache?: boolean;
  list?: boolean;
  remove?: boolean;
}

/** Without --at and --every: so many, evenly. */
const DEFAULT_COUNT = 10;
const FRAMES_A_TURN = 256;
const BUDGET_MICROS = 50_000;
/** Checkpoints that wait to be believed: a replay that went wrong shows soon. */
const MAX_WAITING = 8;

/** `revenant checkpoint TRACE`: writes, lists or removes checkpoint files. Throws RevenantError. */
export async function checkpointCommand(
  folder: string,
  options: CheckpointCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const trace = openTrace(folder, options, io);
  try {
    if (options.list || options.remove) {
      const folders = options.output ? [options.output] : checkpointFolders(trace, {});
      const found = folders.flatMap((each) => findCheckpoints(each, traceIdentity(trace)));
      if (options.remove) for (const { file } of found) fs.rmSync(file, { force: true });
      if (options.remove) removeEmpty(folders);
      show(found, options, io);
      return ExitCode.ok;
    }
    const into = options.output ?? (options.cache ? cachedFolder(trace) : null) ?? folderToWrite(trace);
    const frames = framesToKeep(trace, options);
    await write(trace, frames, into, options, io, log);
    return ExitCode.ok;
  } finally {
    trace.close();
  }
}

function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders) {
    try {
      fs.rmdirSync(folder);
    } catch {
      // Absent, or it holds something that is not ours.
    }
  }
}

function show(found: readonly Found[], { json, remove }: CheckpointCommandOptions, io: CommandIo): void {
  if (json) {
    io.out(`${JSON.stringify(found)}\n`);
    return;
  }
  if (found.length === 0) io.err('revenant: no checkpoint files\n');
  else if (remove) io.err(`revenant: ${countText(found.length, 'checkpoint file')} removed\n`);
  else {
    const rows = found.map(({ file, bytes, frameTime, problem }) => [
      problem === null ? String(frameTime) : '-',
      sizeText(bytes),
      problem === null ? file : `${file}: not used: ${problem}`,
    ]);
    const width = io.columns(1);
    io.out(formatTable([['frame', 'size', 'file'], ...rows], { right: [0, 1], width }));
  }
}

/** In order. Reads the trace to its end for the default. */
function framesToKeep(trace: TraceReader, { at, every }: CheckpointCommandOptions): Iterable<number> {
  const chosen = [...new Set(at)].sort((a, b) => a - b);
  if (chosen[0] === 0 || every === 0) throw new RevenantError('E_USAGE', 'Frames are numbered from 1.');
  if (every === undefined) return chosen.length > 0 ? chosen : evenly(countFrames(trace));
  return (function* () {
    let next = 0;
    for (let frame = every; ; frame += every) {
      for (; next < chosen.length && chosen[next] < frame; next++) yield chosen[next];
      if (chosen[next] === frame) next++;
      yield frame;
    }
  })();
}

function evenly(count: number): number[] {
  const step = Math.max(1, Math.ceil(count / (DEFAULT_COUNT + 1)));
  return Array.from({ length: DEFAULT_COUNT }, (_, n) => (n + 1) * step).filter((frame) => frame < count);
}

function countFrames(trace: TraceReader): number {
  while (trace.advance());
  const count = trace.frameTime;
  trace.restore(trace.beginning);
  return count;
}

interface Written {
  readonly frameTime: number;
  readonly file: string;
  readonly bytes: number;
}

/** Replays and writes to a folder. */
async function write(
  trace: TraceReader,
  frames: Iterable<number>,
  folder: string,
  options: CheckpointCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<void> {
  const progress = new Progress(io, Boolean(options.quiet));
  const interrupt = new Interrupt();
  const machines = new Machines(options, log, (text) => progress.waiting(text));
  let writer: Writer | null = null;
  try {
    const { machine, memoryLimitBytes, attestation } = await interrupt.guard(machines.forTrace(trace));
    const session = ReplaySession.open({
      notesFiles: true,
      trace,
      machine,
      log,
      output: () => {},
      memoryLimitBytes,
      stallLimitMicros: options.stallLimit * 1e6,
      tickStrategy: tickStrategyFor(attestation, false),
    });
    writer = new Writer(session, folder, (written) => {
      progress.update(() => `frame ${session.frameTime}, ${countText(written, 'checkpoint')} written`);
      return interrupt.turn();
    });
    const last = await writer.writeAll(frames);
    if (last !== null && options.at.includes(last)) throw noFrame(trace.directory, last, session.frameTime);
  } finally {
    writer?.close();
    progress.clear();
    machines.close();
    interrupt.dispose();
  }
  report(writer.written, folder, options, io);
}

/**
 * A checkpoint is written when the replay has come farther, or to the end: one that the replay went back behind, because
 * it had been wrong there, is never written.
 */
class Writer {
  readonly written: Written[] = [];
  private readonly waiting: Checkpoint[] = [];

  constructor(
    private readonly session: ReplaySession,
    private readonly folder: string,
    private readonly turn: (written: number) => Promise<void>,
  ) {
    session.onFallBack((backTo) => this.forgetBehind(backTo));
  }

  /** Returns the frame that the recording does not have, or null. */
  async writeAll(frames: Iterable<number>): Promise<number | null> {
    const { session, waiting } = this;
    let missing: number | null = null;
    for (const frame of frames) {
      if (!(await this.advanceTo(frame))) {
        missing = frame;
        break;
      }
      waiting.push(session.checkpoint());
      if (waiting.length > MAX_WAITING) this.writeFirst();
    }
    if (missing === null) await this.advanceTo(session.frameTime + FRAMES_A_TURN);
    while (waiting.length > 0) this.writeFirst();
    return missing;
  }

  close(): void {
    this.session.close();
  }

  /** Exactly; false at the end of the recording. */
  private async advanceTo(frame: number): Promise<boolean> {
    const { session } = this;
    while (session.frameTime < frame) {
      const left = Math.min(frame - session.frameTime, FRAMES_A_TURN);
      if (session.advance(left, BUDGET_MICROS) === 'end') return false;
      await this.turn(this.written.length);
    }
    return true;
  }

  private writeFirst(): void {
    const checkpoint = this.waiting.shift();
    if (!checkpoint) return;
    const { frameTime } = checkpoint;
    const file = path.join(this.folder, checkpointName(frameTime));
    const bytes = writeCheckpoint(this.session, file, checkpoint);
    this.written.push({ frameTime, file, bytes });
    this.session.drop(checkpoint);
  }

  private forgetBehind(frameTime: number): void {
    const { waiting } = this;
    for (let last = waiting.at(-1); last && last.frameTime > frameTime; last = waiting.at(-1)) {
      this.session.drop(last);
      waiting.pop();
    }
  }
}

const noFrame = (folder: string, frame: number, last: number): RevenantError =>
  new RevenantError('E_USAGE', `There is no frame ${frame}: ${folder} ends with frame ${last}.`);

function report(
  written: readonly Written[],
  folder: string,
  { json, quiet }: CheckpointCommandOptions,
  io: CommandIo,
): void {
  if (json) io.out(`${JSON.stringify(written)}\n`);
  if (json || quiet) return;
  const bytes = written.reduce((sum, each) => sum + each.bytes, 0);
  const behind = written.map(({ frameTime }) => frameTime).join(', ');
  io.err(
    written.length === 0
      ? 'revenant: no checkpoints: the recording ends before the first\n'
      : `revenant: ${countText(written.length, 'checkpoint')} in ${folder} (${sizeText(bytes)}), behind frame ${behind}\n`,
  );
}
