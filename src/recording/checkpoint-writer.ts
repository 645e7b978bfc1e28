/** Writes checkpoint files of a trace, by replaying it. */
import path from 'node:path';
import type { Logger } from '../engine/base/log.js';
import { checkpointName } from '../engine/persist/archive.js';
import { writeCheckpoint } from '../engine/persist/file.js';
import type { Checkpoint } from '../engine/replay/state/checkpoint.js';
import { ReplaySession } from '../engine/replay/session.js';
import { tickStrategyFor } from '../engine/replay/ticks/choose.js';
import type { TraceReader } from '../engine/trace/reader.js';
import type { Machines } from './machines.js';
import { advanceTo, FRAMES_A_TURN } from './run.js';
import type { Turns } from './stops.js';

/** Checkpoints whose writing is delayed: a replay that went wrong soon diverges. */
const MAX_WAITING = 8;

/** A file that was written. */
export interface WrittenCheckpoint {
  readonly frameTime: number;
  readonly file: string;
  readonly bytes: number;
}

export interface WriteCheckpointsOptions {
  readonly trace: TraceReader;
  readonly machines: Machines;
  readonly turns: Turns;
  readonly log: Logger;
  /** Seconds the guest may run without reaching the next frame. */
  readonly stallLimit: number;
  /** In order. */
  readonly frames: Iterable<number>;
  readonly folder: string;
  /** Called every few milliseconds of replay. */
  readonly onTurn: (frame: number, written: number) => void;
}

export interface WrittenCheckpoints {
  readonly written: readonly WrittenCheckpoint[];
  /** The first of the frames that the recording does not have, and its last one; or null. */
  readonly missing: { readonly frame: number; readonly last: number } | null;
}

/** Throws RevenantError. */
export async function writeCheckpoints(options: WriteCheckpointsOptions): Promise<WrittenCheckpoints> {
  const { trace, machines, turns, log } = options;
  const { machine, memoryLimitBytes, probeReport } = await turns.guard(machines.forTrace(trace));
  const session = ReplaySession.open({
    notesFiles: true,
    trace,
    machine,
    log,
    output: () => {},
    memoryLimitBytes,
    stallLimitMicros: options.stallLimit * 1e6,
    tickStrategy: tickStrategyFor(probeReport, false),
  });
  try {
    const writer = new Writer(session, options.folder, (written) => {
      options.onTurn(session.frameTime, written);
      return turns.turn();
    });
    const missing = await writer.writeAll(options.frames);
    const { written } = writer;
    return { written, missing: missing === null ? null : { frame: missing, last: session.frameTime } };
  } finally {
    session.close();
  }
}

/**
 * A checkpoint is written only after the replay has advanced further, or ended: if the replay was
 * wrong there and falls back to before it, it is never written.
 */
class Writer {
  readonly written: WrittenCheckpoint[] = [];
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

  /** Exactly; false at the end of the recording. */
  private async advanceTo(frame: number): Promise<boolean> {
    return (await advanceTo(this.session, frame, () => this.turn(this.written.length))) === 'reached';
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
