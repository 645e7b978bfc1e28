/** Where things begin and end in a recording. Each reads a fresh reader from its beginning. */
import { EventKind } from './frame.js';
import type { TraceReader } from './reader.js';

/** The frame at which the first program begins, or null if none does. */
export const firstExec = (reader: TraceReader): number | null =>
  firstTaskEvent(reader, (kind) => kind === 'exec');

/** The frame at which a task begins to exist, or null. */
export const birthOf = (reader: TraceReader, tid: number): number | null =>
  firstTaskEvent(reader, (_kind, born) => born === tid);

/** The frame at which the last task of the recording ends, or 0 if none does. Reads every frame. */
export function lastExit(reader: TraceReader): number {
  let last = 0;
  for (let frame = reader.advance(); frame !== null; frame = reader.advance())
    if (frame.kind === EventKind.exit) last = frame.frameTime;
  return last;
}

/** `frame`, or the recording's last frame if that comes before it. Reads the frames up to there. */
export function frameWithin(reader: TraceReader, frame: number): number {
  while (reader.frameTime < frame && reader.advance());
  return reader.frameTime;
}

function firstTaskEvent(reader: TraceReader, wanted: (kind: string, tid: number) => boolean): number | null {
  for (;;) {
    const next = reader.peekTaskEvent();
    const event = next && reader.nextTaskEvent(next.frameTime);
    if (!event) return null;
    if (wanted(event.kind, event.tid)) return event.frameTime;
  }
}
