/**
 * The timeline of events for the report: one entry per frame, or, for long traces, one for several
 * frames of one task. Packed, because a report contains many.
 */
import { deflateRawSync } from 'node:zlib';
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import { printable } from '../../engine/base/names.js';
import { syscallName } from '../../engine/base/syscalls.js';
import type { TraceFrame } from '../../engine/trace/frame.js';
import { EventKind, SyscallState } from '../../engine/trace/frame.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import { callText, returnText } from './syscall-text.js';

/** More entries than these are merged. */
const MOST_ENTRIES = 60_000;
/** Characters of the texts of calls. */
const MOST_CALLS = 8 << 20;

export type Category = 'syscall' | 'signal' | 'switch' | 'trap' | 'buffer' | 'exit' | 'mixed';

export interface TimelineTask {
  tid: number;
  /** Task that made it by fork or clone; null for the first. */
  parent: number | null;
  /** The program that it executed last, or its parent's. */
  program: string;
  firstFrame: number;
  lastFrame: number;
}

export interface Timeline {
  tasks: TimelineTask[];
  /** What entries are called; `name` of an entry is an index of it. */
  names: { text: string; category: Category }[];
  frames: number;
  /** Seconds of the recorder's clock. */
  duration: number;
  entries: number;
  /**
   * Of n entries, little-endian, deflated (raw), base64: n u32 of first frames, n f32 of seconds since the first
   * frame, n u16 of tasks, n u16 of names. An entry ends where the next begins.
   */
  packed: string;
  /**
   * System calls with arguments, results and files: a line a frame, `FRAME TEXT`, deflated (raw), base64; '' where there
   * are too many to keep.
   */
  calls: string;
}

/** Summary of a trace, gathered in one pass over its frames. */
export interface TraceScan {
  timeline: Timeline;
  commandLine: string[];
  /** Event of each requested frame, with rr's names. */
  events: Map<number, string>;
  /** The frame at which the first program enters exit_group; null if it does not. */
  exitFrame: number | null;
}

const KIND_NAMES = new Map<number, string>(Object.entries(EventKind).map(([name, kind]) => [kind, name]));

const CATEGORIES: Partial<Record<EventKind, Category>> = {
  [EventKind.instructionTrap]: 'trap',
  [EventKind.sched]: 'switch',
  [EventKind.signal]: 'signal',
  [EventKind.signalDelivery]: 'signal',
  [EventKind.signalHandler]: 'signal',
  [EventKind.exit]: 'exit',
  [EventKind.syscall]: 'syscall',
};

/** The frame's event with rr's names: `write entering`, `signal SIGSEGV`. */
export function eventName(frame: TraceFrame, rrcallBase: number): string {
  if (frame.kind === EventKind.syscall) {
    const phase = frame.syscallState === SyscallState.exiting ? 'exiting' : 'entering';
    return `${syscallName(frame.syscallNumber, rrcallBase)} ${phase}`;
  }
  const kind = KIND_NAMES.get(frame.kind) ?? `event ${frame.kind}`;
  if (CATEGORIES[frame.kind] !== 'signal') return kind;
  const { buffer, byteOffset, byteLength } = frame.siginfo;
  const number = byteLength < 4 ? 0 : new DataView(buffer, byteOffset).getInt32(0, true);
  return `${kind} ${SIGNAL_NAMES[number] ?? number}`;
}

/** Entries, merged if there are too many. Frames are added in order. */
class Entries {
  private first = new Uint32Array(1024);
  private time = new Float32Array(1024);
  private task = new Uint16Array(1024);
  private name = new Uint16Array(1024);
  count = 0;
  /** Entries of one task cover at most this many frames; those of signals and exits are kept. */
  private span = 1;
  private spanStart = 0;

  constructor(
    private readonly keep: (name: number) => boolean,
    private readonly mixed: () => number,
  ) {}

  add(first: number, time: number, task: number, name: number): void {
    if (this.count > 0 && this.mergeable(first, task, name)) {
      const last = this.count - 1;
      if (this.name[last] !== name) this.name[last] = this.mixed();
      return;
    }
    if (this.count === this.first.length) this.grow();
    this.spanStart = first;
    this.set(this.count++, first, time, task, name);
    if (this.count > MOST_ENTRIES) this.thin();
  }

  pack(): string {
    const { count } = this;
    const parts = [this.first, this.time, this.task, this.name].map((column) => {
      const used = column.subarray(0, count);
      return new Uint8Array(used.buffer, used.byteOffset, used.byteLength);
    });
    return deflateRawSync(Buffer.concat(parts)).toString('base64');
  }

  private mergeable(first: number, task: number, name: number): boolean {
    const last = this.count - 1;
    return (
      this.span > 1 &&
      this.task[last] === task &&
      first - this.spanStart < this.span &&
      !this.keep(name) &&
      !this.keep(this.name[last])
    );
  }

  /** Merges neighbours of one task; if that is not enough, neighbours of any task. */
  private thin(): void {
    const before = this.count;
    this.span *= 2;
    this.compact(false);
    if (this.count > before * 0.75) this.compact(true);
  }

  private compact(across: boolean): void {
    const { first, time, task, name, count } = this;
    this.count = 0;
    for (let at = 0; at < count; at++) {
      const last = this.count - 1;
      const near = last >= 0 && first[at] - this.first[last] < this.span;
      const alike = near && (across || (this.task[last] === task[at] && !this.keep(name[at])));
      if (alike && !this.keep(this.name[last])) {
        if (this.name[last] !== name[at]) this.name[last] = across ? name[at] : this.mixed();
      } else {
        this.set(this.count++, first[at], time[at], task[at], name[at]);
      }
    }
    if (this.count > 0) this.spanStart = this.first[this.count - 1];
  }

  private set(at: number, first: number, time: number, task: number, name: number): void {
    this.first[at] = first;
    this.time[at] = time;
    this.task[at] = task;
    this.name[at] = name;
  }

  private grow(): void {
    const wider = <T extends Uint32Array | Float32Array | Uint16Array>(column: T, made: T): T => {
      made.set(column);
      return made;
    };
    const size = this.first.length * 2;
    this.first = wider(this.first, new Uint32Array(size));
    this.time = wider(this.time, new Float32Array(size));
    this.task = wider(this.task, new Uint16Array(size));
    this.name = wider(this.name, new Uint16Array(size));
  }
}

class Scan {
  readonly tasks: TimelineTask[] = [];
  readonly names: Timeline['names'] = [];
  readonly events = new Map<number, string>();
  readonly entries: Entries;
  commandLine: string[] = [];
  exitFrame: number | null = null;
  private readonly taskOf = new Map<number, number>();
  private readonly nameOf = new Map<string, number>();
  private readonly kept: boolean[] = [];
  private calls: string[] = [];
  private callsLength = 0;

  constructor(private readonly reader: TraceReader) {
    this.entries = new Entries(
      (name) => this.kept[name],
      () => this.nameIndex('several events', 'mixed'),
    );
  }

  run(wanted: ReadonlySet<number>): { frames: number; duration: number } {
    const { reader } = this;
    let begin = 0;
    let now = 0;
    let frames = 0;
    for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
      if (frames++ === 0) begin = frame.monotonicSec;
      now = frame.monotonicSec;
      const programs = this.taskEvents(frame.frameTime);
      const mapped = this.mappedFiles(frame.frameTime);
      this.noteCall(frame, [...programs, ...mapped]);
      const text = eventName(frame, reader.header.rrcallBase);
      if (wanted.has(frame.frameTime)) this.events.set(frame.frameTime, text);
      const category = CATEGORIES[frame.kind] ?? 'buffer';
      const name = this.nameIndex(text, category);
      this.entries.add(frame.frameTime, now - begin, this.taskIndex(frame.tid, frame.frameTime), name);
      if (text === 'exit_group entering' && frame.tid === this.tasks[0]?.tid)
        this.exitFrame = frame.frameTime;
    }
    return { frames, duration: now - begin };
  }

  /** Returns programs that were executed. */
  private taskEvents(frameTime: number): string[] {
    const programs: string[] = [];
    for (
      let event = this.reader.nextTaskEvent(frameTime);
      event;
      event = this.reader.nextTaskEvent(frameTime)
    ) {
      if (event.kind === 'clone') {
        const parent = this.tasks[this.taskIndex(event.parentTid, frameTime)];
        // A number may be used again by another task.
        this.taskOf.delete(event.tid);
        const task = this.tasks[this.taskIndex(event.tid, frameTime)];
        task.parent = event.parentTid;
        task.program = parent.program;
      } else if (event.kind === 'exec') {
        if (this.commandLine.length === 0) this.commandLine = event.cmdLine;
        this.tasks[this.taskIndex(event.tid, frameTime)].program = event.fileName;
        programs.push(event.fileName);
      }
    }
    return programs;
  }

  private mappedFiles(frameTime: number): string[] {
    const files: string[] = [];
    for (let map = this.reader.nextMapping(frameTime); map; map = this.reader.nextMapping(frameTime))
      if (map.fsname.startsWith('/') && !map.fsname.endsWith(' (deleted)')) files.push(map.fsname);
    return files;
  }

  /** @param files that the recording names beside the frame */
  private noteCall(frame: TraceFrame, files: readonly string[]): void {
    if (frame.kind !== EventKind.syscall || !frame.hasRegisters || this.callsLength > MOST_CALLS) return;
    const { rrcallBase } = this.reader.header;
    const opened = frame.extra.kind === 'openedFds' ? frame.extra.fds.map(({ path }) => path) : [];
    const names = [...new Set([...opened, ...files])];
    const text =
      frame.syscallState === SyscallState.exiting
        ? returnText(frame, rrcallBase, names)
        : callText(frame, rrcallBase);
    const line = `${frame.frameTime} ${printable(text)}\n`;
    this.callsLength += line.length;
    this.calls.push(line);
  }

  packCalls(): string {
    if (this.callsLength > MOST_CALLS || this.calls.length === 0) return '';
    return deflateRawSync(Buffer.from(this.calls.join(''))).toString('base64');
  }

  private taskIndex(tid: number, frameTime: number): number {
    let index = this.taskOf.get(tid);
    if (index === undefined) {
      index = this.tasks.length;
      this.tasks.push({ tid, parent: null, program: '', firstFrame: frameTime, lastFrame: frameTime });
      this.taskOf.set(tid, index);
    }
    this.tasks[index].lastFrame = frameTime;
    return Math.min(index, 0xffff);
  }

  private nameIndex(text: string, category: Category): number {
    let index = this.nameOf.get(text);
    if (index === undefined) {
      index = this.names.length;
      this.names.push({ text, category });
      this.kept.push(category === 'signal' || category === 'exit' || /^(execve|v?fork|clone)/.test(text));
      this.nameOf.set(text, index);
    }
    return index;
  }
}

/**
 * Reads a trace to its end. Errors: those of TraceReader.
 * @param wanted frames whose event is needed
 */
export function scanTrace(reader: TraceReader, wanted: ReadonlySet<number> = new Set()): TraceScan {
  const scan = new Scan(reader);
  const { frames, duration } = scan.run(wanted);
  const { tasks, names, entries, commandLine, events, exitFrame } = scan;
  const packed = entries.pack();
  const calls = scan.packCalls();
  return {
    timeline: { tasks, names, frames, duration, entries: entries.count, packed, calls },
    commandLine,
    events,
    exitFrame,
  };
}
