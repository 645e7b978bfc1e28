import { RevenantError } from '../../engine/base/errors.js';
import { syscallName } from '../../engine/base/syscalls.js';
import type { TraceFrame } from '../../engine/trace/frame.js';
import { EventKind } from '../../engine/trace/frame.js';
import { TraceReader } from '../../engine/trace/reader.js';
import type { MMapRecord, TaskEventRecord } from '../../engine/trace/records.js';
import { frameDocument } from '../frame-json.js';
import {
  frameLine,
  mappingLine,
  registersLine,
  taskEventLine,
  writeLine,
} from '../../recording/frame-text.js';
import type { CommandIo } from '../output.js';
import { printable } from '../printable.js';

export interface DumpOptions {
  trace: string;
  /** `FROM`, `FROM-`, `FROM-TO`; absent: all frames. */
  range?: string;
  /** One JSON object per line. */
  json?: boolean;
  /** Only frames of this tid. */
  task?: number;
  /** Only events of this kind, or of this system call. */
  event?: string;
  /** In text: all registers below each frame. */
  registers?: boolean;
}

const FLUSH_AT = 1 << 16;

/** `revenant dump TRACE [FROM[-TO]]`. Errors: those of TraceReader; E_USAGE for a bad range or event. */
export function dumpCommand(options: DumpOptions, io: Pick<CommandIo, 'out'>): undefined {
  const [from, to] = parseRange(options.range);
  const reader = TraceReader.open(options.trace);
  try {
    const wanted = eventFilter(options.event, reader.header.rrcallBase);
    const print = options.json ? printJson : printText;
    let pending = '';
    let frame: TraceFrame | null = null;
    while (reader.frameTime < to && (frame = reader.advance()) !== null) {
      const records = recordsOf(reader, frame.frameTime);
      if (frame.frameTime < from) continue;
      if (options.task !== undefined && frame.tid !== options.task) continue;
      if (!wanted(frame)) continue;
      pending += print(frame, records, reader.header.rrcallBase, options);
      if (pending.length < FLUSH_AT) continue;
      io.out(pending);
      pending = '';
    }
    if (pending !== '') io.out(pending);
    if (reader.frameTime < from) {
      throw usage(`frame ${from} is past the end of ${options.trace}, which has ${reader.frameTime} frames`);
    }
  } finally {
    reader.close();
  }
}

interface FrameRecords {
  mappings: MMapRecord[];
  taskEvents: TaskEventRecord[];
}

function recordsOf(reader: TraceReader, frameTime: number): FrameRecords {
  const records: FrameRecords = { mappings: [], taskEvents: [] };
  for (let map = reader.nextMapping(frameTime); map !== null; map = reader.nextMapping(frameTime)) {
    records.mappings.push(map);
  }
  for (let event = reader.nextTaskEvent(frameTime); event !== null; event = reader.nextTaskEvent(frameTime)) {
    records.taskEvents.push(event);
  }
  return records;
}

function printText(
  frame: TraceFrame,
  records: FrameRecords,
  rrcallBase: number,
  options: DumpOptions,
): string {
  const lines = [frameLine(frame, rrcallBase)];
  if (options.registers && frame.hasRegisters) lines.push(registersLine(frame));
  lines.push(...records.taskEvents.map(taskEventLine), ...records.mappings.map(mappingLine));
  for (let i = 0; i < frame.memWriteCount; i++) lines.push(writeLine(frame.memWrites[i]));
  return `${lines.map(printable).join('\n')}\n`;
}

function printJson(frame: TraceFrame, records: FrameRecords, rrcallBase: number): string {
  return `${JSON.stringify(frameDocument(frame, rrcallBase, records.mappings, records.taskEvents))}\n`;
}

const usage = (problem: string): RevenantError => new RevenantError('E_USAGE', `dump: ${problem}.`);

/** First and last frame to print, both included. */
function parseRange(text: string | undefined): [number, number] {
  if (text === undefined) return [1, Infinity];
  const match = /^(\d{1,15})(-(\d{1,15})?)?$/.exec(text);
  if (!match) throw usage(`expected a frame or FROM-TO, found ${JSON.stringify(text)}`);
  const from = Math.max(1, Number(match[1]));
  const to = match[2] === undefined ? from : match[3] === undefined ? Infinity : Number(match[3]);
  if (to < from) throw usage(`the range ${text} is empty`);
  return [from, to];
}

/** Names are compared ignoring case, `-` and `_`: SYSCALLBUF_FLUSH is syscallbufFlush. */
const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

function eventFilter(event: string | undefined, rrcallBase: number): (frame: TraceFrame) => boolean {
  if (event === undefined) return () => true;
  const kind = Object.entries(EventKind).find(([name]) => plain(name) === plain(event))?.[1];
  if (kind !== undefined) return (frame) => frame.kind === kind;
  if (!isSyscall(event, rrcallBase)) {
    const kinds = Object.keys(EventKind).join(', ');
    throw usage(`${JSON.stringify(event)} is neither a system call nor one of ${kinds}`);
  }
  return (frame) =>
    frame.kind === EventKind.syscall && syscallName(frame.syscallNumber, rrcallBase) === event;
}

function isSyscall(name: string, rrcallBase: number): boolean {
  const numbered = /^syscall_(-?\d+)$/.test(name);
  const named = (first: number): boolean =>
    Array.from({ length: 512 }, (_, i) => first + i).some((n) => syscallName(n, rrcallBase) === name);
  return numbered || named(0) || named(rrcallBase);
}
