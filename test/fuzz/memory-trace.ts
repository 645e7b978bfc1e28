import { TraceFrame } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import type { MMapRecord, TaskEventRecord, TraceHeader } from '../../src/engine/trace/records.js';
import { RecordingInput } from './recording-input.js';

/** A decoded trace, all of it: what can be changed between decoding and replay. Only for small traces. */
export interface DecodedTrace {
  header: TraceHeader;
  frames: TraceFrame[];
  mappings: MMapRecord[];
  taskEvents: TaskEventRecord[];
}

const copyFrame = (frame: TraceFrame): TraceFrame => Object.assign(new TraceFrame(), structuredClone(frame));

export function copyTrace(trace: DecodedTrace): DecodedTrace {
  const { header, mappings, taskEvents } = structuredClone({ ...trace, frames: [] });
  return { header, frames: trace.frames.map(copyFrame), mappings, taskEvents };
}

export function decodeTrace(directory: string): DecodedTrace {
  const reader = TraceReader.open(directory);
  const { header } = reader;
  const trace: DecodedTrace = { header, frames: [], mappings: [], taskEvents: [] };
  try {
    for (let frame = reader.advance(); frame; frame = reader.advance()) {
      for (let map = reader.nextMapping(frame.frameTime); map; map = reader.nextMapping(frame.frameTime))
        trace.mappings.push(map);
      let event = reader.nextTaskEvent(frame.frameTime);
      for (; event; event = reader.nextTaskEvent(frame.frameTime)) trace.taskEvents.push(event);
      trace.frames.push(copyFrame(frame));
    }
    return trace;
  } finally {
    reader.close();
  }
}

/** A reader of decoded frames and records; files and the bytes of writes come from the directory. */
export function openDecoded(directory: string, trace: DecodedTrace): TraceReader {
  // It has every member that a session uses; TypeScript cannot say so of a class with private ones.
  return new RecordingInput(TraceReader.open(directory), trace) as unknown as TraceReader;
}
