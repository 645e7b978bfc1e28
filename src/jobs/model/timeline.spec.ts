import path from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { TraceReader } from '../../engine/trace/reader.js';
import type { Timeline } from './timeline.js';
import { scanTrace } from './timeline.js';

const traces = path.resolve(import.meta.dirname, '../../../traces');
const scan = (name: string, wanted: number[] = []): ReturnType<typeof scanTrace> => {
  const reader = TraceReader.open(path.join(traces, name));
  try {
    return scanTrace(reader, new Set(wanted));
  } finally {
    reader.close();
  }
};

function unpack({ packed, entries }: Timeline): { first: Uint32Array; name: Uint16Array } {
  const bytes = new Uint8Array(inflateRawSync(Buffer.from(packed, 'base64')));
  expect(bytes.length).toBe(12 * entries);
  return {
    first: new Uint32Array(bytes.buffer, 0, entries),
    name: new Uint16Array(bytes.buffer, 10 * entries, entries),
  };
}

describe('a timeline', () => {
  it('has every frame of a short trace', () => {
    const { timeline, commandLine, events, exitFrame } = scan('zen2/crash', [1, 125]);
    expect(timeline).toMatchObject({ frames: 125, entries: 125 });
    expect(timeline.tasks).toHaveLength(1);
    expect(commandLine[0]).toMatch(/crash/);
    expect([...events.keys()]).toEqual([1, 125]);
    expect(exitFrame).toBeNull();
    const { first, name } = unpack(timeline);
    expect([...first.slice(0, 3)]).toEqual([1, 2, 3]);
    const texts = [...name].map((index) => timeline.names[index].text);
    expect(texts).toContain('signal SIGSEGV');
    expect(texts).toContain('write entering');
  });

  it('knows where a program is about to end', () => {
    const { exitFrame, timeline } = scan('zen2/hello-static');
    expect(exitFrame).toBeGreaterThan(timeline.frames - 4);
  });
});
