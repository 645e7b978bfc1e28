import * as path from 'node:path';
import { invariant, RevenantError } from '../base/errors.js';
import type { BackingFile } from './backing.js';
import { BackingFiles } from './backing.js';
import { BlockFile } from './chunk.js';
import { corrupt, whileReading } from './corrupt.js';
import { FrameDecoder } from './events.js';
import type { MemWrite } from './frame.js';
import { TraceFrame } from './frame.js';
import { readHeader } from './header.js';
import { MessageStream, newMessagePosition, type MessagePosition } from './messages.js';
import { decodeMMap } from './mmaps.js';
import { RawData } from './raw-data.js';
import type { MMapRecord, TaskEventRecord, TraceHeader } from './records.js';
import { RecordStream, type RecordPosition } from './record-stream.js';
import { fileExists, FileSource, realFolder, requireDirectory } from './source.js';
import { decodeTaskEvent } from './tasks.js';
import { xsaveBytes } from './xsave-size.js';

export type { BackingFile } from './backing.js';

/** A position between two frames. Plain data. */
export interface TracePosition {
  /** Frames that advance() has returned. */
  readonly frames: number;
  readonly dataCursor: number;
  readonly events: Readonly<MessagePosition>;
  readonly mmaps: RecordPosition;
  readonly tasks: RecordPosition;
}

/** How many frames ahead peek() can read. */
export const MAX_PEEK = 64;
/** The current frame and those peeked at. */
const RING = MAX_PEEK + 1;

export interface OpenOptions {
  /**
   * The trace was not packed and this is the machine (or one like it) that recorded it: absolute
   * names are files of this machine, opened read-only. Called for each that differs from the
   * recorded one. Links may refer to them, too. Without it and `fileFolders` nothing outside the
   * trace directory is opened, except files that `rr pack --pack-dir` put beside it.
   */
  onForeignFile?: (warning: string) => void;
  /** Folders whose files the trace may refer to by an absolute path or a symbolic link. */
  fileFolders?: readonly string[];
  /**
   * For a trace whose recorder was killed before it wrote a header: that of another trace by the same rr
   * on the same machine. Not used for complete traces.
   */
  header?: TraceHeader;
}

/**
 * A trace directory, read sequentially in bounded memory, except for 16 bytes per block (1 MiB decompressed) of
 * `events` and `data`.
 *
 * Errors of every method: E_TRACE_CORRUPT with file, position and frame.
 */
export class TraceReader {
  readonly header: TraceHeader;
  readonly #events: MessageStream;
  readonly #decoder: FrameDecoder;
  readonly #mmaps: RecordStream<MMapRecord>;
  readonly #tasks: RecordStream<TaskEventRecord>;
  readonly #data: RawData;
  readonly #backing: BackingFiles;
  readonly #streams: BlockFile[] = [];
  readonly #ring: TraceFrame[] = Array.from({ length: RING }, () => new TraceFrame());
  /** Frames decoded, and those of them that advance() has returned. */
  #decoded = 0;
  #returned = 0;
  #dataCursor = 0;
  /** For each frame of the ring: where its message starts, and its bytes in `data`. */
  readonly #starts = Array.from({ length: RING }, () => ({ events: newMessagePosition(), dataCursor: 0 }));
  #ended = false;
  /** Kept for the frame it belongs to, when peek() finds it first. */
  #failure: unknown = null;

  /**
   * Opens a trace. Errors: E_TRACE_MISSING (no directory, no such file), E_TRACE_VERSION (not 85),
   * E_TRACE_CORRUPT, E_UNSUPPORTED (needs a newer reader, other architecture).
   */
  static open(directory: string, options: OpenOptions = {}): TraceReader {
    requireDirectory(directory);
    const complete = fileExists(path.join(directory, 'version'));
    if (!complete && !fileExists(path.join(directory, 'incomplete'))) {
      const text = `${directory} is not a trace: it has neither a file \`version\` nor a file \`incomplete\`.`;
      throw new RevenantError('E_TRACE_MISSING', text, 'Name a trace directory as rr makes it.');
    }
    return new TraceReader(directory, !complete, options);
  }

  /** The header of a trace; nothing stays open. Errors: as of `open`. */
  static headerOf(directory: string): TraceHeader {
    const reader = TraceReader.open(directory);
    reader.close();
    return reader.header;
  }

  /** @param incomplete The recorder was killed: there is no header, and streams may be cut off anywhere. */
  private constructor(
    readonly directory: string,
    readonly incomplete: boolean,
    options: OpenOptions,
  ) {
    const elsewhere = {
      anywhere: options.onForeignFile !== undefined,
      folders: (options.fileFolders ?? []).map(realFolder),
    };
    const version = FileSource.open(path.join(directory, incomplete ? 'incomplete' : 'version'));
    try {
      const own = readHeader(version, incomplete);
      const lent = incomplete ? options.header : undefined;
      this.header = lent ? { ...lent, uuid: own.uuid, ok: false } : own;
    } finally {
      version.close();
    }
    try {
      this.#events = this.#messages('events', 'frame');
      this.#mmaps = new RecordStream(this.#messages('mmaps', 'record'), decodeMMap);
      this.#tasks = new RecordStream(this.#messages('tasks', 'record'), decodeTaskEvent);
      this.#data = new RawData(this.#stream('data'));
    } catch (error) {
      for (const stream of this.#streams) stream.close();
      throw error;
    }
    this.#decoder = new FrameDecoder(
      this.#events.message,
      this.header.cpuidRecords.length === 0 ? 0 : xsaveBytes(this.header.cpuidRecords),
    );
    this.#backing = new BackingFiles(directory, elsewhere, options.onForeignFile);
  }

  /** The next frame, or null at the end; a refilled object, valid until the next call. */
  advance(): TraceFrame | null {
    if (this.#returned === this.#decoded && !this.#decodeNext()) {
      if (this.#failure !== null) throw this.#failure;
      return null;
    }
    return this.#ring[this.#returned++ % RING];
  }

  /**
   * The k-th frame after the current one, 1 <= k <= MAX_PEEK, without consuming it; null if there is none.
   * A frame that cannot be decoded ends the trace here, and advance() reports why when it gets there.
   */
  peek(k: number): TraceFrame | null {
    invariant(k >= 1 && k <= MAX_PEEK, `peek(${k})`);
    while (this.#decoded < this.#returned + k) if (!this.#decodeNext()) return null;
    return this.#ring[(this.#returned + k - 1) % RING];
  }

  /** Of the last frame that advance() returned; 0 before the first. */
  get frameTime(): number {
    return this.#returned;
  }

  /** Consumes and returns the next mapping record if it belongs to frame `frameTime`, else null. */
  nextMapping(frameTime: number): MMapRecord | null {
    return this.#mmaps.peek()?.frameTime === frameTime ? this.#mmaps.next() : null;
  }

  /** Skips task events of earlier frames; consumes and returns the next if it belongs to frame `frameTime`. */
  nextTaskEvent(frameTime: number): TaskEventRecord | null {
    let event = this.#tasks.peek();
    while (event !== null && event.frameTime < frameTime) {
      this.#tasks.next();
      event = this.#tasks.peek();
    }
    return event?.frameTime === frameTime ? this.#tasks.next() : null;
  }

  peekTaskEvent(): TaskEventRecord | null {
    return this.#tasks.peek();
  }

  /** The next mapping record of any frame; null at the end (of an incomplete trace: no more were written). */
  peekMapping(): MMapRecord | null {
    return this.#mmaps.peek();
  }

  /**
   * Bytes [offset, offset + into.length) of what `write` stores, holes as zeros, into `into`.
   * Sequential reads are fast, any order works. Precondition: the range is inside the write.
   */
  readWrite(write: MemWrite, offset: number, into: Uint8Array): void {
    try {
      this.#data.readWrite(write, offset, into);
    } catch (error) {
      throw whileReading(error, `The bytes were needed at frame ${this.#returned}.`);
    }
  }

  /** Bytes from `offset` of `write` to the end of the hole there; 0 where there is none. */
  holeAt(write: MemWrite, offset: number): number {
    return this.#data.holeAt(write, offset);
  }

  /**
   * The file behind a mapping record of source `file`. Errors: E_TRACE_PATH if its name leaves the
   * trace directory (`..`, a symbolic link or absolute, if the options do not allow it),
   * E_TRACE_MISSING if there is no such file, E_TRACE_CORRUPT if it is not a regular file.
   */
  openBacking(record: MMapRecord): BackingFile {
    invariant(record.source.kind === 'file', 'openBacking() of a mapping without a file');
    return this.#backing.openFor(record.source.backingFileName, record);
  }

  /** A file of the trace directory that the format names by convention (`cloned_data_TID_SERIAL`); null if absent. */
  openAuxiliary(name: string): BackingFile | null {
    return this.#backing.openIfPresent(name);
  }

  /** The place before the first frame. */
  get beginning(): TracePosition {
    const start = newMessagePosition();
    const record = { at: start, lastTime: 0 };
    return { frames: 0, dataCursor: 0, events: start, mmaps: record, tasks: record };
  }

  /** The position after the last frame that advance() returned, and after the records consumed so far. */
  save(): TracePosition {
    const ahead = this.#decoded > this.#returned;
    const start = this.#starts[this.#returned % RING];
    return {
      frames: this.#returned,
      dataCursor: ahead ? start.dataCursor : this.#dataCursor,
      events: ahead ? { ...start.events } : this.#events.save(newMessagePosition()),
      mmaps: this.#mmaps.save(),
      tasks: this.#tasks.save(),
    };
  }

  /**
   * The position before the last frame that advance() returned, but after the records consumed so far.
   * Precondition: advance() returned a frame and restore() was not called since.
   */
  saveBeforeCurrent(): TracePosition {
    invariant(this.#returned > 0, 'a frame was returned');
    const start = this.#starts[(this.#returned - 1) % RING];
    return {
      frames: this.#returned - 1,
      dataCursor: start.dataCursor,
      events: { ...start.events },
      mmaps: this.#mmaps.save(),
      tasks: this.#tasks.save(),
    };
  }

  /** Goes back to a position that save() returned. Errors: E_TRACE_CORRUPT. */
  restore(position: TracePosition): void {
    this.#events.restore(position.events);
    this.#mmaps.restore(position.mmaps);
    this.#tasks.restore(position.tasks);
    this.#decoded = this.#returned = position.frames;
    this.#dataCursor = position.dataCursor;
    this.#ended = false;
    this.#failure = null;
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
    this.#data.close();
    this.#backing.close();
  }

  /** Decodes one frame into the ring; false at the end and at a failure. */
  #decodeNext(): boolean {
    if (this.#ended) return false;
    const start = this.#starts[this.#decoded % RING];
    this.#events.save(start.events);
    start.dataCursor = this.#dataCursor;
    try {
      if (this.#events.next()) {
        const frame = this.#ring[this.#decoded % RING];
        this.#decoder.decode(frame, this.#decoded + 1, this.#dataCursor);
        if (this.#haveData(frame.dataEnd)) {
          this.#dataCursor = frame.dataEnd;
          this.#decoded++;
          return true;
        }
      } else if (this.#decoded === 0) this.#checkEmpty();
    } catch (error) {
      const known = error instanceof Error && /\bframe \d/.test(error.message);
      this.#failure = known ? error : whileReading(error, `Frame ${this.#decoded + 1} cannot be read.`);
    }
    this.#ended = true;
    return false;
  }

  /** Whether the `data` stream reaches `end`. If not: an error, or the end of an incomplete trace. */
  #haveData(end: number): boolean {
    if (this.#data.covers(end)) return true;
    if (this.incomplete) return false;
    const { indexedEnd, source } = this.#data.blocks;
    throw corrupt(
      source.path,
      `the stream has ${indexedEnd} bytes, but the writes of frame ${this.#decoded + 1} end at byte ${end}`,
    );
  }

  /** A trace may be empty, but then in all streams. */
  #checkEmpty(): void {
    if (this.incomplete || !this.#data.covers(1)) return;
    throw corrupt(path.join(this.directory, 'events'), 'it is empty, but `data` is not');
  }

  #stream(name: string): BlockFile {
    const stream = new BlockFile(FileSource.open(path.join(this.directory, name)), this.incomplete);
    this.#streams.push(stream);
    return stream;
  }

  #messages(name: string, unit: string): MessageStream {
    return MessageStream.of(this.#stream(name), unit);
  }
}
