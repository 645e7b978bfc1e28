/**
 * Positions of tasks by their ticks, as far as known from frames. Functions read a fresh reader from its beginning.
 */
import { EventKind, type TraceFrame } from './frame.js';
import type { TraceReader } from './reader.js';

/** Frames whose ticks are not those of the program's position (rr-traces.md 5.2). */
const SLOPPY: ReadonlySet<EventKind> = new Set<EventKind>([
  EventKind.growMap,
  EventKind.syscallbufFlush,
  EventKind.syscallbufReset,
  EventKind.syscallbufAbortCommit,
  EventKind.exit,
]);

/** The frame's ticks are the task's at the frame's event. */
export const hasExactTicks = (frame: TraceFrame): boolean => !SLOPPY.has(frame.kind);

/** A frame at which a task's ticks are known, and their count. */
export interface KnownTicks {
  readonly frame: number;
  readonly ticks: number;
}

/** The frames between which the ticks of the task that runs after a frame are counted. */
export interface TickStart {
  /** The task of the next frame. */
  readonly tid: number;
  /**
   * The frame itself, or the last before it that is not a reschedule after which the same task
   * continues: the position of those is not observable, and a replay may process them early.
   */
  readonly firm: number;
  /** The last up to `firm`; frame 0 if there is none. */
  readonly known: KnownTicks;
  /** The first after the frame; null if there is none. */
  readonly next: KnownTicks | null;
}

/** null at the end of the recording: no task runs after its last frame. */
export function tickStart(reader: TraceReader, frame: number): TickStart | null {
  const known = new Map<number, KnownTicks>();
  let start: Omit<TickStart, 'next'> | null = null;
  let firm = 0;
  let before: { frame: number; tid: number; passed: boolean; ticks: number | null } | null = null;
  for (let next = reader.advance(); next !== null; next = reader.advance()) {
    const { frameTime, tid } = next;
    const ticks = hasExactTicks(next) ? next.ticks : null;
    if (before && !(before.passed && before.tid === tid)) {
      firm = before.frame;
      if (before.ticks !== null) known.set(before.tid, { frame: firm, ticks: before.ticks });
    }
    if (frameTime > frame) start ??= { tid, firm, known: known.get(tid) ?? { frame: 0, ticks: 0 } };
    if (start && tid === start.tid && ticks !== null) return { ...start, next: { frame: frameTime, ticks } };
    for (const born of begunAt(reader, frameTime)) known.set(born, { frame: frameTime, ticks: 0 });
    before = { frame: frameTime, tid, passed: next.kind === EventKind.sched, ticks };
  }
  return start && { ...start, next: null };
}

/**
 * The frame after which a task reaches, or already has, a tick count: right before the first of its frames with more.
 * Searches from the program that the task runs at frame `now`.
 * @returns null if it never has this count
 */
export function frameOfTicks(reader: TraceReader, tid: number, now: number, ticks: number): number | null {
  let found: number | null = null;
  for (let next = reader.advance(); next !== null; next = reader.advance()) {
    const { frameTime } = next;
    // Ticks restart with each program.
    if (begunAt(reader, frameTime).includes(tid) && frameTime <= now) found = null;
    else if (found === null && next.tid === tid && next.ticks > ticks) found = frameTime - 1;
    if (found !== null && frameTime > now) return found;
  }
  return found;
}

/** Tasks that begin to run a program, or to exist, at a frame. */
function begunAt(reader: TraceReader, frame: number): number[] {
  const tids: number[] = [];
  for (let event = reader.nextTaskEvent(frame); event; event = reader.nextTaskEvent(frame))
    if (event.kind === 'clone' || event.kind === 'exec') tids.push(event.tid);
  return tids;
}
