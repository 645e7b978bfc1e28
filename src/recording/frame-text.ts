import { hex } from '../engine/base/address.js';
import { SIGNAL_NAMES } from '../engine/base/linux.js';
import type { RegisterWords } from '../engine/base/registers.js';
import { getRegister, Reg, REGISTER_NAMES } from '../engine/base/registers.js';
import { syscallName } from '../engine/base/syscalls.js';
import type { MemWrite, SyscallExtra, TraceFrame } from '../engine/trace/frame.js';
import { EventKind, SyscallState } from '../engine/trace/frame.js';
import type { MMapRecord, TaskEventRecord } from '../engine/trace/records.js';

export const KIND_NAMES = Object.fromEntries(
  Object.entries(EventKind).map(([name, kind]) => [kind, name]),
) as Record<number, string>;

/** A frame and its records as text. The indented lines have the format of `rr dump`. */

export const STATE_NAMES = ['enteringPtrace', 'entering', 'exiting'];
export const DISPOSITION_NAMES = ['fatal', 'userHandler', 'ignored'];
const LARGEST_ERRNO = 4095n;

export const signalOf = (frame: TraceFrame): number => new DataView(frame.siginfo.buffer).getInt32(0, true);
export const signalName = (number: number): string => SIGNAL_NAMES[number] ?? `signal ${number}`;

/** `openat entering`, `openat exiting = 3`, `signal SIGSEGV (deterministic, user handler)`. */
export function eventText(frame: TraceFrame, rrcallBase: number): string {
  const kind = KIND_NAMES[frame.kind];
  switch (frame.kind) {
    case EventKind.syscall: {
      const name = syscallName(frame.syscallNumber, rrcallBase);
      const failed = frame.failedDuringPreparation ? ' (failed during preparation)' : '';
      const result = frame.syscallState === SyscallState.exiting ? ` = ${resultText(frame.registers)}` : '';
      return `${name} ${STATE_NAMES[frame.syscallState]}${result}${failed}${extraText(frame.extra)}`;
    }
    case EventKind.signal:
    case EventKind.signalDelivery:
    case EventKind.signalHandler: {
      const cause = frame.deterministic ? 'deterministic' : 'asynchronous';
      const disposition = ['fatal', 'user handler', 'ignored'][frame.disposition];
      return `${kind} ${signalName(signalOf(frame))} (${cause}, ${disposition})`;
    }
    case EventKind.sched:
      return frame.inSyscallbufSyscallHook === 0n
        ? kind
        : `${kind} in syscall hook ${hex(frame.inSyscallbufSyscallHook)}`;
    default:
      return kind;
  }
}

/** A result as the program interprets it: -errno, a small number, else hexadecimal. */
function resultText(registers: RegisterWords): string {
  const value = BigInt.asIntN(64, getRegister(registers, Reg.rax));
  return value >= -LARGEST_ERRNO && value < 0x10_0000n ? String(value) : hex(BigInt.asUintN(64, value));
}

function extraText(extra: SyscallExtra): string {
  switch (extra.kind) {
    case 'none':
      return '';
    case 'writeOffset':
      return `, at offset ${extra.offset}`;
    case 'execFdsToClose':
      return `, closes ${extra.fds.join(' ')}`;
    case 'openedFds':
      return `, opens ${extra.fds.map((fd) => `${fd.fd} ${JSON.stringify(fd.path)}`).join(', ')}`;
    case 'socketAddrs':
      return ', with socket addresses';
    case 'madviseRanges':
      return `, ranges ${extra.ranges.map((range) => `${hex(range.start)}-${hex(range.end)}`).join(' ')}`;
  }
}

/** The frame's line: frame time, tid, ticks, event, rip. */
export function frameLine(frame: TraceFrame, rrcallBase: number): string {
  const head = `${String(frame.frameTime).padStart(7)} ${String(frame.tid).padStart(6)} ${String(frame.ticks).padStart(10)}`;
  const rip = frame.hasRegisters ? `  rip ${hex(getRegister(frame.registers, Reg.rip))}` : '';
  return `${head}  ${eventText(frame, rrcallBase)}${rip}`;
}

export function registersLine(frame: TraceFrame): string {
  const values = REGISTER_NAMES.map((name, slot) => `${name}:${hex(getRegister(frame.registers, slot))}`);
  const extra = frame.extraRegisters ? ` (and ${frame.extraRegisters.length} bytes of extra registers)` : '';
  return `  ${values.join(' ')}${extra}`;
}

export const addressOf = (write: MemWrite): bigint =>
  (BigInt(write.addressHigh) << 32n) | BigInt(write.addressLow);

export function writeLine(write: MemWrite): string {
  const holes =
    write.holes.length === 0 ? '' : `, holes:${hex(write.holeBytes)} in ${write.holes.length / 2}`;
  const bound = write.sizeIsConservative ? ', upper bound' : '';
  return `  { tid:${write.tid}, addr:${hex(addressOf(write))}, length:${hex(write.size)}${holes}${bound} }`;
}

/** `rwxp` as in /proc/PID/maps. */
export function protectionText(record: MMapRecord): string {
  const bit = (mask: number, letter: string): string => ((record.prot & mask) !== 0 ? letter : '-');
  return bit(1, 'r') + bit(2, 'w') + bit(4, 'x') + ((record.flags & 1) !== 0 ? 's' : 'p');
}

export function mappingLine(record: MMapRecord): string {
  const { source } = record;
  const data = source.kind === 'file' ? JSON.stringify(source.backingFileName) : source.kind;
  const range = `addr:${hex(record.start)}, length:${hex(record.end - record.start)}`;
  const where = `file_offset:${hex(record.fileOffsetBytes)}, device:${record.device}, inode:${record.inode}`;
  const file = `map_file:${JSON.stringify(record.fsname)}, ${range}, prot_flags:"${protectionText(record)}", flags:${hex(record.flags >>> 0)}`;
  const fds = record.extraFds.map((fd) => `${fd.tid}:${fd.fd}`).join(' ');
  return `  { ${file}, ${where}, source:${data}, file_size:${hex(record.statSize)}${fds ? `, fds:${fds}` : ''} }`;
}

export function taskEventLine(event: TaskEventRecord): string {
  const head = `  task ${event.kind} tid=${event.tid}`;
  switch (event.kind) {
    case 'clone':
      return `${head} parent=${event.parentTid} flags=${hex(event.flags >>> 0)} own_ns_tid=${event.ownNsTid}`;
    case 'exec':
      return `${head} file=${event.fileName} cmdline=${JSON.stringify(event.cmdLine)} exe_base=${hex(event.exeBase)} interp=${event.interpName} interp_base=${hex(event.interpBase)}`;
    case 'exit':
      return `${head} status=${event.exitStatus}`;
    case 'detach':
      return head;
  }
}
