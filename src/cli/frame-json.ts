import { hex } from '../engine/base/address.js';
import { getRegister, REGISTER_NAMES } from '../engine/base/registers.js';
import { syscallName } from '../engine/base/syscalls.js';
import type { MemWrite, SyscallExtra, TraceFrame } from '../engine/trace/frame.js';
import { EventKind } from '../engine/trace/frame.js';
import type { MMapRecord, TaskEventRecord } from '../engine/trace/records.js';
import {
  addressOf,
  DISPOSITION_NAMES,
  KIND_NAMES,
  signalName,
  signalOf,
  STATE_NAMES,
} from '../recording/frame-text.js';

/** A frame and its records as one JSON object, all fields. 64-bit values and bytes are hexadecimal strings. */

const bytesText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function frameDocument(
  frame: TraceFrame,
  rrcallBase: number,
  mappings: readonly MMapRecord[],
  taskEvents: readonly TaskEventRecord[],
): object {
  return {
    frame: frame.frameTime,
    tid: frame.tid,
    ticks: frame.ticks,
    time: frame.monotonicSec,
    arch: frame.arch,
    event: KIND_NAMES[frame.kind],
    ...eventFields(frame, rrcallBase),
    registers: frame.hasRegisters ? registersDocument(frame) : null,
    extraRegisters: frame.extraRegisters && bytesText(frame.extraRegisters),
    memWrites: frame.memWrites.slice(0, frame.memWriteCount).map(writeDocument),
    mappings: mappings.map(mappingDocument),
    taskEvents: taskEvents.map(taskEventDocument),
  };
}

function eventFields(frame: TraceFrame, rrcallBase: number): object {
  switch (frame.kind) {
    case EventKind.syscall:
      return {
        syscall: syscallName(frame.syscallNumber, rrcallBase),
        number: frame.syscallNumber,
        state: STATE_NAMES[frame.syscallState],
        syscallArch: frame.syscallArch,
        failedDuringPreparation: frame.failedDuringPreparation,
        extra: extraDocument(frame.extra),
      };
    case EventKind.signal:
    case EventKind.signalDelivery:
    case EventKind.signalHandler:
      return {
        signal: signalName(signalOf(frame)),
        number: signalOf(frame),
        deterministic: frame.deterministic,
        disposition: DISPOSITION_NAMES[frame.disposition],
        siginfo: bytesText(frame.siginfo),
      };
    case EventKind.syscallbufFlush:
      return { mprotectRecords: bytesText(frame.mprotectRecords) };
    case EventKind.sched:
      return { inSyscallbufSyscallHook: hex(frame.inSyscallbufSyscallHook) };
    default:
      return {};
  }
}

function registersDocument(frame: TraceFrame): Record<string, string> {
  return Object.fromEntries(
    REGISTER_NAMES.map((name, slot) => [name, hex(getRegister(frame.registers, slot))]),
  );
}

function writeDocument(write: MemWrite): object {
  const { tid, size, sizeIsConservative, holes, dataOffset } = write;
  return { tid, address: hex(addressOf(write)), size, sizeIsConservative, holes, dataOffset };
}

function mappingDocument(record: MMapRecord): object {
  const { start, end, device, inode } = record;
  return { ...record, start: hex(start), end: hex(end), device: hex(device), inode: hex(inode) };
}

function taskEventDocument(event: TaskEventRecord): object {
  if (event.kind !== 'exec') return event;
  const { exeBase, interpBase, pacData } = event;
  return { ...event, exeBase: hex(exeBase), interpBase: hex(interpBase), pacData: bytesText(pacData) };
}

function extraDocument(extra: SyscallExtra): object {
  switch (extra.kind) {
    case 'socketAddrs':
      return { kind: extra.kind, local: bytesText(extra.local), remote: bytesText(extra.remote) };
    case 'openedFds':
      return {
        kind: extra.kind,
        fds: extra.fds.map((fd) => ({ ...fd, device: hex(fd.device), inode: hex(fd.inode) })),
      };
    case 'madviseRanges':
      return {
        kind: extra.kind,
        ranges: extra.ranges.map((range) => ({ start: hex(range.start), end: hex(range.end) })),
      };
    case 'writeOffset':
      return { kind: extra.kind, offset: String(extra.offset) };
    default:
      return extra;
  }
}
