import fs from 'node:fs';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { countText, sizeText } from '../../engine/base/quantities.js';
import type { Logger } from '../../engine/base/log.js';
import { findCheckpoints, type Found } from '../../engine/persist/archive.js';
import { traceIdentity } from '../../engine/persist/identity.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { cachedFolder, checkpointFolders, folderToWrite } from '../../recording/checkpoint-folders.js';
import { writeCheckpoints, type WrittenCheckpoint } from '../../recording/checkpoint-writer.js';
import { Machines } from '../../recording/machines.js';
import { openTrace } from '../../recording/open.js';
import { noSuchFrame } from '../../recording/trace-index.js';
import { cacheFolder } from '../cache-folder.js';
import { Interrupt } from '../interrupt.js';
import type { CommandIo } from '../output.js';
import { Progress } from '../progress.js';
import { warner, type ReplayCommandOptions } from '../recordings.js';
import { formatTable } from '../table.js';

export interface CheckpointCommandOptions extends ReplayCommandOptions {
  /** Frames after which to write one, in any order. */
  at: number[];
  /** Interval in frames. */
  every?: number;
  /** The folder to write to, to list or to clear. */
  output?: string;
  cache?: boolean;
  list?: boolean;
  remove?: boolean;
}

/** Number of evenly spaced checkpoints without --at and --every. */
const DEFAULT_COUNT = 10;

/** `revenant checkpoint TRACE`: writes, lists or removes checkpoint files. Throws RevenantError. */
export async function checkpointCommand(
  folder: string,
  options: CheckpointCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const trace = openTrace(folder, options, warner(io));
  const cache = cacheFolder(process.env);
  try {
    if (options.list || options.remove) {
      const folders = options.output ? [options.output] : checkpointFolders(trace, { cache });
      const found = folders.flatMap((each) => findCheckpoints(each, traceIdentity(trace)));
      if (options.remove) for (const { file } of found) fs.rmSync(file, { force: true });
      if (options.remove) removeEmpty(folders);
      show(found, options, io);
      return ExitCode.ok;
    }
    const into =
      options.output ?? (options.cache ? cachedFolder(trace, cache) : null) ?? folderToWrite(trace, cache);
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
      // Absent, or it contains other files.
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
  const turns = new Interrupt();
  const machines = new Machines(options, log, (text) => progress.waiting(text));
  try {
    const { written, missing } = await writeCheckpoints({
      trace,
      machines,
      turns,
      log,
      stallLimit: options.stallLimit,
      frames,
      folder,
      onTurn: (frame, count) =>
        progress.update(() => `frame ${frame}, ${countText(count, 'checkpoint')} written`),
    });
    if (missing && options.at.includes(missing.frame)) throw noSuchFrame(missing.frame, missing.last);
    progress.clear();
    report(written, folder, options, io);
  } finally {
    progress.clear();
    machines.close();
    turns.dispose();
  }
}

function report(
  written: readonly WrittenCheckpoint[],
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
      : `revenant: ${countText(written.length, 'checkpoint')} in ${folder} (${sizeText(bytes)}), after frame ${behind}\n`,
  );
}
