/** Where things begin in a recording, from its task events alone. Each reads a fresh reader from its beginning. */
import type { TraceReader } from './reader.js';

/** The frame at which the first program begins, or null if none does. */
export const firstExec = (reader: TraceReader): number | null =>
  firstTaskEvent(reader, (kind) => kind === 'exec');

/** The frame at which a task begins to exist, or null. */
export const birthOf = (reader: TraceReader, tid: number): number | null =>
  firstTaskEvent(reader, (_kind, born) => born === tid);

function firstTaskEvent(reader: TraceReader, wanted: (kind: string, tid: number) => boolean): number | null {
  for (;;) {
    const next = reader.peekTaskEvent();
    const event = next && reader.nextTaskEvent(next.frameTime);
    if (!event) return null;
    if (wanted(event.kind, event.tid)) return event.frameTime;
  }
}
