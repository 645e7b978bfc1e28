import path from 'node:path';
import { protectionText } from '../../src/recording/frame-text.js';
import { SIGNAL_NAMES } from '../../src/engine/base/linux.js';
import type { RegisterName } from '../../src/engine/base/registers.js';
import { getRegister, Reg } from '../../src/engine/base/registers.js';
import { syscallName } from '../../src/engine/base/syscalls.js';
import type { MemWrite, TraceFrame } from '../../src/engine/trace/frame.js';
import { EventKind, SyscallState } from '../../src/engine/trace/frame.js';
import type { TraceReader } from '../../src/engine/trace/reader.js';
import type { MMapRecord, TaskEventRecord } from '../../src/engine/trace/records.js';

/**
 * What `rr dump -b -e -m -p` prints, made from our own fields: two readers agree on every field that
 * is printed when the texts are equal.
 */

const REGISTER_ORDER: readonly RegisterName[] = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12'] as const),
  ...(['r13', 'r14', 'r15', 'rip', 'eflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs', 'orig_rax'] as const),
  ...(['fs_base', 'gs_base'] as const),
];

/** rr's names where they are not the kernel's. */
const RR_SYSCALLS: Record<string, string> = { newfstatat: 'fstatat' };
const STATES: Record<number, string> = {
  [SyscallState.enteringPtrace]: 'ENTERING_SYSCALL_PTRACE',
  [SyscallState.entering]: 'ENTERING_SYSCALL',
  [SyscallState.exiting]: 'EXITING_SYSCALL',
};
const KINDS: Record<number, string> = {
  [EventKind.instructionTrap]: 'INSTRUCTION_TRAP',
  [EventKind.patchSyscall]: 'PATCH_SYSCALL',
  [EventKind.syscallbufAbortCommit]: 'SYSCALLBUF_ABORT_COMMIT',
  [EventKind.syscallbufReset]: 'SYSCALLBUF_RESET',
  [EventKind.sched]: 'SCHED',
  [EventKind.growMap]: 'GROW_MAP',
  [EventKind.signal]: 'SIGNAL',
  [EventKind.signalDelivery]: 'SIGNAL_DELIVERY',
  [EventKind.signalHandler]: 'SIGNAL_HANDLER',
  [EventKind.exit]: 'EXIT',
  [EventKind.syscallbufFlush]: 'SYSCALLBUF_FLUSH',
  [EventKind.patchAfterSyscall]: 'PATCH_SYSCALL',
  [EventKind.patchVsyscall]: 'PATCH_SYSCALL',
  [EventKind.patchTrappingInstruction]: 'PATCH_SYSCALL',
};

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
/** The C library's %p. */
const pointer = (value: number | bigint): string => (BigInt(value) === 0n ? '(nil)' : hex(value));
const call = (number: number, rrcallBase: number): string => {
  const name = syscallName(number, rrcallBase);
  return RR_SYSCALLS[name] ?? name;
};

function eventText(frame: TraceFrame, rrcallBase: number): string {
  if (frame.kind === EventKind.syscall) {
    return `\`SYSCALL: ${call(frame.syscallNumber, rrcallBase)}' (state:${STATES[frame.syscallState]})`;
  }
  const name = KINDS[frame.kind];
  if (!name.startsWith('SIGNAL')) return `\`${name}'`;
  const signal = SIGNAL_NAMES[new DataView(frame.siginfo.buffer).getInt32(0, true)];
  return `\`${name}: ${signal}(${frame.deterministic ? 'det' : 'async'})'`;
}

const little = (bytes: Uint8Array): bigint => BigInt(`0x0${Buffer.from(bytes).reverse().toString('hex')}`);

function extraRegistersText(image: Uint8Array): string {
  const st = Array.from(
    { length: 8 },
    (_, i) => `st${i}:${hex(little(image.subarray(32 + 16 * i, 48 + 16 * i)))}`,
  );
  const ymm = Array.from({ length: 16 }, (_, i) => {
    const low = little(image.subarray(160 + 16 * i, 176 + 16 * i));
    const high = little(image.subarray(576 + 16 * i, 592 + 16 * i));
    return `ymm${i}:${hex((high << 128n) | low)}`;
  });
  return [...st, ...ymm].join(' ');
}

function registersText(frame: TraceFrame): string {
  const text = REGISTER_ORDER.map((name) => `${name}:${hex(getRegister(frame.registers, Reg[name]))}`).join(
    ' ',
  );
  return frame.extraRegisters ? `${text} ${extraRegistersText(frame.extraRegisters)}` : text;
}

function taskEventText(event: TaskEventRecord): string {
  switch (event.kind) {
    case 'clone':
      return `  TraceTaskEvent::CLONE tid=${event.tid} parent=${event.parentTid} clone_flags=${hex(event.flags >>> 0)}`;
    case 'exec':
      return `  TraceTaskEvent::EXEC tid=${event.tid} file=${event.fileName}`;
    case 'exit':
      return `  TraceTaskEvent::EXIT tid=${event.tid} status=${event.exitStatus}`;
    case 'detach':
      return `  TraceTaskEvent::DETACH tid=${event.tid}`;
  }
}

function mappingText(map: MMapRecord, directory: string): string {
  const file = map.source.kind === 'file' ? path.join(directory, map.source.backingFileName) : '';
  const dataOffset = map.source.kind === 'file' ? map.fileOffsetBytes : 0;
  const name = map.source.kind === 'zero' ? '<ZERO>' : map.fsname;
  return (
    `  { map_file:"${name}", addr:${pointer(map.start)}, length:${pointer(map.end - map.start)}, ` +
    `prot_flags:"${protectionText(map)}", file_offset:${hex(map.fileOffsetBytes)}, device:${map.device}, ` +
    `inode:${map.inode}, data_file:"${file}", data_offset:${hex(dataOffset)}, file_size:${hex(map.statSize)} }`
  );
}

const writeText = (write: MemWrite): string => {
  const address = (BigInt(write.addressHigh) << 32n) | BigInt(write.addressLow);
  const holes = Array.from({ length: write.holes.length / 2 }, (_, index) => {
    const [offset, size] = write.holes.slice(2 * index, 2 * index + 2);
    return `${pointer(offset)}-${pointer(offset + size)}`;
  });
  const text = holes.length === 0 ? '' : `, holes:[${holes.join(', ')}]`;
  return `  { tid:${write.tid}, addr:${pointer(address)}, length:${pointer(write.size)}${text} }`;
};

/** Records of a flushed syscall buffer: this compares the stored bytes, not only their number. */
function syscallBufferText(reader: TraceReader, frame: TraceFrame): string[] {
  const { syscallbufHdrSize, rrcallBase } = reader.header;
  const image = new Uint8Array(frame.memWrites[0].size);
  reader.readWrite(frame.memWrites[0], 0, image);
  const view = new DataView(image.buffer);
  const lines: string[] = [];
  for (
    let at = syscallbufHdrSize;
    at < image.length;
    at += Math.ceil(view.getUint32(at + 12, true) / 8) * 8
  ) {
    const name = call(view.getUint16(at + 8, true), rrcallBase);
    const assist = view.getUint8(at + 10) & 2 ? ', replay_assist:1' : '';
    const result = hex(view.getBigUint64(at, true));
    lines.push(`  { syscall:'${name}', ret:${result}, size:${hex(view.getUint32(at + 12, true))}${assist} }`);
  }
  return lines;
}

function mprotectText(records: Uint8Array): string[] {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const lines: string[] = [];
  for (let at = 0; at < records.length; at += 24) {
    const prot = view.getInt32(at + 16, true);
    const letters = `${prot & 1 ? 'r' : '-'}${prot & 2 ? 'w' : '-'}${prot & 4 ? 'x' : '-'}`;
    const start = hex(view.getBigUint64(at, true));
    lines.push(
      `  { start:'${start}', size:'${view.getBigUint64(at + 8, true).toString(16)}', prot:${letters} }`,
    );
  }
  return lines;
}

/** The lines rr prints for the current frame. */
export function rrLines(reader: TraceReader, frame: TraceFrame): string[] {
  const { header } = reader;
  const time = `real_time:${frame.monotonicSec.toFixed(6)} global_time:${frame.frameTime}`;
  const event = eventText(frame, header.rrcallBase);
  const lines = ['{', `  ${time}, event:${event} tid:${frame.tid}, ticks:${frame.ticks}`];
  if (frame.hasRegisters) lines.push(registersText(frame));
  if (frame.kind === EventKind.syscallbufFlush) {
    lines.push(...syscallBufferText(reader, frame), ...mprotectText(frame.mprotectRecords));
  }
  const { frameTime } = frame;
  for (let task = reader.nextTaskEvent(frameTime); task; task = reader.nextTaskEvent(frameTime)) {
    lines.push(taskEventText(task));
  }
  for (let map = reader.nextMapping(frameTime); map; map = reader.nextMapping(frameTime)) {
    lines.push(mappingText(map, reader.directory));
  }
  if (frame.kind !== EventKind.syscallbufFlush) {
    for (let i = 0; i < frame.memWriteCount; i++) lines.push(writeText(frame.memWrites[i]));
  }
  return [...lines, '}'];
}
