import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { TraceReader, type TracePosition } from './reader.js';

const sample = path.resolve(import.meta.dirname, '../../../traces/haswell/faults');

/** All that a replay takes from the next frame, as text. */
function take(reader: TraceReader): string | null {
  const frame = reader.advance();
  if (!frame) return null;
  const parts: unknown[] = [
    frame.frameTime,
    frame.tid,
    frame.ticks,
    frame.kind,
    frame.hasRegisters && frame.registers.join(),
  ];
  for (let record = reader.nextMapping(frame.frameTime); record; record = reader.nextMapping(frame.frameTime))
    parts.push(`${record.start}-${record.end} ${record.fsname}`);
  for (
    let event = reader.nextTaskEvent(frame.frameTime);
    event;
    event = reader.nextTaskEvent(frame.frameTime)
  )
    parts.push(event.kind);
  for (let index = 0; index < frame.memWriteCount; index++) {
    const bytes = new Uint8Array(Math.min(64, frame.memWrites[index].size));
    reader.readWrite(frame.memWrites[index], 0, bytes);
    parts.push(bytes.join());
  }
  return parts.join(' ');
}

describe('save and restore', () => {
  it.each([0, 1, 2, 4])('come back to any frame, with %i frames decoded ahead', (ahead) => {
    const reader = TraceReader.open(sample);
    const positions: TracePosition[] = [];
    const frames: (string | null)[] = [];
    for (;;) {
      if (ahead > 0) reader.peek(ahead);
      positions.push(reader.save());
      const text = take(reader);
      frames.push(text);
      if (text === null) break;
    }
    expect(frames.length).toBeGreaterThan(300);
    for (const index of [frames.length - 1, 200, 0, 100, 1]) {
      reader.restore(positions[index]);
      expect(reader.frameTime).toBe(index);
      for (let next = index; next < Math.min(index + 12, frames.length); next++) {
        if (ahead > 1) reader.peek(1);
        expect(take(reader)).toBe(frames[next]);
      }
    }
    reader.close();
  });
});
