/**
 * Begin and end of programs, tasks and processes in a recording. Each function reads a fresh reader from its beginning.
 */
import { EventKind } from './frame.js';
import type { TraceReader } from './reader.js';
import type { MMapRecord } from './records.js';

/** clone(2): the new task is of its parent's process. */
const CLONE_THREAD = 0x10000;

/** The frame at which the first program begins, or null if none does. */
export const firstExec = (reader: TraceReader): number | null =>
  firstTaskEvent(reader, (kind) => kind === 'exec');

/** File and arguments of the first program; empty if none begins. */
export function firstExecCommand(reader: TraceReader): string[] {
  for (;;) {
    const next = reader.peekTaskEvent();
    const event = next && reader.nextTaskEvent(next.frameTime);
    if (!event) return [];
    if (event.kind === 'exec') return [event.fileName, ...event.cmdLine.slice(1)];
  }
}

/** The frame at which a task begins to exist, or null. */
export const birthOf = (reader: TraceReader, tid: number): number | null =>
  firstTaskEvent(reader, (_kind, born) => born === tid);

/**
 * The first process that executes a program: by its number, or by the command's name (argument 0 of
 * the program, or its last path component). Null if none does.
 */
export function execOf(reader: TraceReader, process: string): { frame: number; tid: number } | null {
  for (;;) {
    const next = reader.peekTaskEvent();
    const event = next && reader.nextTaskEvent(next.frameTime);
    if (!event) return null;
    if (event.kind !== 'exec') continue;
    const command = event.cmdLine.at(0) ?? '';
    if (String(event.tid) === process || command === process || command.endsWith(`/${process}`))
      return { frame: event.frameTime, tid: event.tid };
  }
}

/** The frame at which the last task of the recording ends (or this one, if given), or 0 if none does. Reads every frame. */
export function lastExit(reader: TraceReader, tid: number | null = null): number {
  let last = 0;
  for (let frame = reader.advance(); frame !== null; frame = reader.advance())
    if (frame.kind === EventKind.exit && (tid === null || frame.tid === tid)) last = frame.frameTime;
  return last;
}

/** How a process ended. */
export interface JointEnd {
  /** The frame at which the first of those tasks ends that end together with the last. */
  readonly frame: number;
  /** The task that did something last before that. */
  readonly tid: number;
}

/**
 * The tasks of a process that end together with the last one, at `frame`: no task of the process has another frame in
 * between. Reads the frames up to there.
 */
export function jointEnd(reader: TraceReader, frame: number): JointEnd {
  const processes = new Map<number, number>();
  /** By process: where its tasks began to exit, with no other event of it since. */
  const begun = new Map<number, JointEnd>();
  const active = new Map<number, number>();
  for (let next = reader.advance(); next !== null; next = reader.advance()) {
    const { frameTime, tid } = next;
    for (let event = reader.nextTaskEvent(frameTime); event; event = reader.nextTaskEvent(frameTime)) {
      if (event.kind !== 'clone') continue;
      const parent = processes.get(event.parentTid) ?? event.parentTid;
      processes.set(event.tid, event.flags & CLONE_THREAD ? parent : event.tid);
    }
    const process = processes.get(tid) ?? tid;
    if (next.kind !== EventKind.exit) {
      begun.delete(process);
      active.set(process, tid);
    } else if (!begun.has(process)) {
      begun.set(process, { frame: frameTime, tid: active.get(process) ?? tid });
    }
    if (frameTime >= frame) return begun.get(process) ?? { frame, tid };
  }
  return { frame, tid: 0 };
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

/** Mapping records that have a file, the first of each path: what symbols can be read from. */
export function mappedFiles(reader: TraceReader): Map<string, MMapRecord> {
  const found = new Map<string, MMapRecord>();
  for (;;) {
    const frameTime = reader.peekMapping()?.frameTime;
    const record = frameTime === undefined ? null : reader.nextMapping(frameTime);
    if (!record) return found;
    if (record.source.kind === 'file' && !found.has(record.fsname)) found.set(record.fsname, record);
  }
}
