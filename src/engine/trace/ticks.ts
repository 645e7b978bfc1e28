/** Where tasks stand by their ticks, as far as frames tell. Functions read a fresh reader from its beginning. */
import { EventKind, type TraceFrame } from './frame.js';
import type { TraceReader } from './reader.js';

/** Frames whose ticks say when something else happened, not where the program stands (rr-traces.md 5.2). */
const SLOPPY: ReadonlySet<EventKind> = new Set<EventKind>([
  EventKind.growMap,
  EventKind.syscallbufFlush,
  EventKind.syscallbufReset,
  EventKind.syscallbufAbortCommit,
  EventKind.exit,
]);

/** The frame's ticks are the task's at the frame's event. */
export const hasExactTicks = (frame: TraceFrame): boolean => !SLOPPY.has(frame.kind);

/** A frame at which a task's ticks are known, and how many they are. */
export interface KnownTicks {
  readonly frame: number;
  readonly ticks: number;
}

/** Between which frames the ticks are counted of the task that runs behind a frame. */
export interface TickStart {
  /** The task of the next frame. */
  readonly tid: number;
  /**
   * The frame itself, or the last before it that is no reschedule behind which the same task goes on: where those are
   * nobody can observe, and a replay may pass them early.
   */
  readonly firm: number;
  /** The last up to `firm`; frame 0 where there is none. */
  readonly known: KnownTicks;
  /** The first behind the frame; null where there is none. */
  readonly next: KnownTicks | null;
}

/** null at the end of the recording: no task runs behind its last frame. */
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
 * The frame behind which a task comes to, or already has, a number of ticks: right before the first of its frames with
 * more. Looked for is in the program that the task runs at frame `now`, and behind that.
 * @returns null if it never has so many
 */
export function frameOfTicks(reader: TraceReader, tid: number, now: number, ticks: number): number | null {
  let found: number | null = null;
  for (let next = reader.advance(); next !== null; next = reader.advance()) {
    const { frameTime } = next;
    // Ticks begin anew with each program.
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
