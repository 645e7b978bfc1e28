import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../base/errors.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplaySession } from '../replay/session.js';
import type { TraceReader } from '../trace/reader.js';
import type { Archive } from '../travel/archive.js';
import { mismatch, readCheckpoint, readPreamble } from './file.js';
import { traceIdentity, type TraceIdentity } from './identity.js';

const SUFFIX = '.checkpoint';
const FRAME_DIGITS = 9;

/** Where a trace's checkpoints are if its owner can write there: beside it, for what is in it is the recording. */
export const folderBeside = (directory: string): string => `${fs.realpathSync(directory)}.checkpoints`;

/** Where they are below a folder that traces share. */
export const folderInCache = (cache: string, trace: TraceReader): string =>
  path.join(cache, 'checkpoints', traceIdentity(trace).uuid);

export const checkpointName = (frameTime: number): string =>
  `frame-${String(frameTime).padStart(FRAME_DIGITS, '0')}${SUFFIX}`;

/** A checkpoint file that was found. */
export interface Found {
  readonly file: string;
  readonly bytes: number;
  readonly frameTime: number;
  readonly inside: boolean;
  /** Why it cannot be used; null: by its preamble it can. */
  readonly problem: string | null;
}

/** The checkpoint files of a folder, by name; a folder that does not exist has none. */
export function findCheckpoints(folder: string, identity: TraceIdentity): Found[] {
  let names: string[];
  try {
    names = fs.readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
  } catch {
    return [];
  }
  return names.sort().flatMap((name) => {
    const file = path.join(folder, name);
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile()) return [];
    try {
      const preamble = readPreamble(file);
      const { frameTime, inside } = preamble;
      return [{ file, bytes: stat.size, frameTime, inside, problem: mismatch(preamble, identity) }];
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      return [{ file, bytes: stat.size, frameTime: 0, inside: false, problem: error.message }];
    }
  });
}

/** The checkpoint files of one session's trace in folders. */
export class CheckpointFiles implements Archive {
  private readonly files = new Map<number, string>();

  /** What is of another trace or version, or damaged, is passed over with a line in the log. */
  constructor(
    private readonly session: ReplaySession,
    folders: readonly string[],
  ) {
    const { core } = session;
    const identity = folders.length > 0 ? traceIdentity(core.trace) : null;
    for (const folder of identity ? folders : []) {
      for (const { file, frameTime, inside, problem } of findCheckpoints(folder, identity!)) {
        if (problem !== null) core.log.warn({ file, problem }, 'checkpoint not used');
        else if (!inside && !this.files.has(frameTime)) this.files.set(frameTime, file);
      }
    }
  }

  latest(frameTime: number): number {
    let found = 0;
    for (const known of this.files.keys()) if (known <= frameTime && known > found) found = known;
    return found;
  }

  load(frameTime: number): Checkpoint | null {
    const { log } = this.session.core;
    const file = this.files.get(frameTime);
    if (file === undefined) return null;
    try {
      const checkpoint = readCheckpoint(this.session, file);
      log.info({ file, frameTime }, 'checkpoint read');
      return checkpoint;
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      this.files.delete(frameTime);
      log.warn({ file, problem: error.message }, 'checkpoint not used');
      return null;
    }
  }

  /** Goes to the latest checkpoint up to a frame, if that is ahead of the session. Returns the session's frame. */
  goTowards(frameTime: number): number {
    for (;;) {
      const latest = this.latest(frameTime);
      if (latest <= this.session.frameTime) return this.session.frameTime;
      const checkpoint = this.load(latest);
      if (!checkpoint) continue;
      this.session.restore(checkpoint);
      this.session.drop(checkpoint);
    }
  }
}
