import type { MemWrite, TraceFrame } from '../../src/engine/trace/frame.js';
import type { BackingFile, TraceReader } from '../../src/engine/trace/reader.js';
import type { MMapRecord, TaskEventRecord, TraceHeader } from '../../src/engine/trace/records.js';
import type { DecodedTrace } from './memory-trace.js';

/** The part of TraceReader that a session uses, over decoded frames. */
export class RecordingInput {
  readonly incomplete = false;
  readonly header: TraceHeader;
  #next = 0;
  #mapping = 0;
  #event = 0;

  constructor(
    private readonly reader: TraceReader,
    private readonly trace: DecodedTrace,
  ) {
    this.header = trace.header;
  }

  get directory(): string {
    return this.reader.directory;
  }

  get frameTime(): number {
    return this.#next;
  }

  advance(): TraceFrame | null {
    const frame = this.trace.frames[this.#next];
    if (!frame) return null;
    this.#next++;
    return frame;
  }

  peek(k: number): TraceFrame | null {
    return this.trace.frames[this.#next + k - 1] ?? null;
  }

  save(): [number, number, number] {
    return [this.#next, this.#mapping, this.#event];
  }

  restore(position: [number, number, number]): void {
    [this.#next, this.#mapping, this.#event] = position;
  }

  peekMapping(): MMapRecord | null {
    return this.trace.mappings[this.#mapping] ?? null;
  }

  nextMapping(frameTime: number): MMapRecord | null {
    return this.peekMapping()?.frameTime === frameTime ? this.trace.mappings[this.#mapping++] : null;
  }

  peekTaskEvent(): TaskEventRecord | null {
    return this.trace.taskEvents[this.#event] ?? null;
  }

  nextTaskEvent(frameTime: number): TaskEventRecord | null {
    while ((this.peekTaskEvent()?.frameTime ?? Infinity) < frameTime) this.#event++;
    return this.peekTaskEvent()?.frameTime === frameTime ? this.trace.taskEvents[this.#event++] : null;
  }

  /** A changed write may claim more bytes than the stream has: missing bytes are zeros. */
  readWrite(write: MemWrite, offset: number, into: Uint8Array): void {
    const last = this.trace.frames.at(-1)?.dataEnd ?? 0;
    const there = Math.max(0, Math.min(into.length, last - (write.dataOffset + offset)));
    into.fill(0, there);
    const bytes = into.subarray(0, there);
    if (there > 0)
      this.reader.readWrite({ ...write, size: offset + there, holes: [], holeBytes: 0 }, offset, bytes);
  }

  holeAt(write: MemWrite, offset: number): number {
    return this.reader.holeAt(write, offset);
  }

  openBacking(record: MMapRecord): BackingFile {
    return this.reader.openBacking(record);
  }

  openAuxiliary(name: string): BackingFile | null {
    return this.reader.openAuxiliary(name);
  }

  close(): void {
    this.reader.close();
  }
}
