import { RevenantError } from '../base/errors.js';
import { nameOf } from '../base/names.js';
import type { ListRef as List, Message } from './capnp.js';
import { ListRef, StructRef } from './capnp.js';
import { corrupt } from './corrupt.js';
import { Arch } from './frame.js';
import { MessageStream } from './messages.js';
import type { CpuidRecord, Ternary, TraceHeader, UtsName } from './records.js';
import type { FileSource } from './source.js';

/** The `version` file: a text line with the version, then one packed Header message. */

export const TRACE_VERSION = 85;
/** `requiredForwardCompatibilityVersion` that this reader implements. */
const FORWARD_COMPATIBILITY = 3;
const MAX_FILE_BYTES = 1 << 20;
const MAX_VERSION_LINE = 16;
const CPUID_RECORD_BYTES = 24;
/** Bits of user-space addresses that the engine's page tables carry. */
const USER_ADDRESS_BITS = 47;

const TERNARY: readonly Ternary[] = ['unknown', 'true', 'false'];

/**
 * Reads the header from `version`, or the version line alone from `incomplete`.
 * Errors: E_TRACE_VERSION (not 85), E_TRACE_CORRUPT, E_UNSUPPORTED (needs something that is not supported here).
 */
export function readHeader(source: FileSource, incomplete: boolean): TraceHeader {
  if (source.size > MAX_FILE_BYTES)
    throw corrupt(source.path, `its size is ${source.size} bytes, implausible`);
  const bytes = new Uint8Array(source.size);
  const length = source.read(0, bytes, bytes.length);
  const messageStart = checkVersionLine(source.path, bytes.subarray(0, length));
  if (incomplete) return incompleteHeader();
  const header = decodeHeader(source.path, bytes.subarray(messageStart, length));
  requireSupported(source.path, header);
  return header;
}

/** Returns the length of the version line. */
function checkVersionLine(path: string, bytes: Uint8Array): number {
  const lineEnd = bytes.subarray(0, MAX_VERSION_LINE).indexOf(0x0a);
  const line = lineEnd < 0 ? '' : Buffer.from(bytes.subarray(0, lineEnd)).toString('latin1');
  if (!/^\d+$/.test(line)) throw corrupt(path, 'it does not begin with a line that holds a version number');
  const version = Number(line);
  if (version !== TRACE_VERSION) {
    const hint =
      version < TRACE_VERSION
        ? 'Record again with rr 5.6.0 or later; older traces are not read.'
        : 'The trace was written by a newer rr than this reader knows.';
    throw new RevenantError(
      'E_TRACE_VERSION',
      `${path}: trace version ${version}, but only ${TRACE_VERSION} is read.`,
      hint,
    );
  }
  return lineEnd + 1;
}

function decodeHeader(path: string, bytes: Uint8Array): TraceHeader {
  const chunks = bytes.length === 0 ? [] : [bytes];
  const stream = new MessageStream({ next: () => chunks.shift() ?? null, describe: () => path }, 'header');
  if (!stream.next()) throw corrupt(path, 'the header is missing after the version line');
  if (stream.unread > 0) stream.fail(`${stream.unread} bytes follow the header`);
  return headerOf(stream.message);
}

function headerOf(message: Message): TraceHeader {
  const ref = new StructRef();
  const list = new ListRef();
  message.root(ref);
  const ternary = (at: number): Ternary =>
    TERNARY[message.u16(ref, at)] ?? message.fail('an enumeration is out of range');
  const uuid = message.data(ref, 0, list);
  const ticksSemantics = message.u16(ref, 16);
  if (ticksSemantics > 1) message.fail(`ticksSemantics is ${ticksSemantics}, which is not defined`);
  return {
    version: TRACE_VERSION,
    uuid,
    bindToCpu: message.i32(ref, 0),
    hasCpuidFaulting: message.bit(ref, 32),
    cpuidRecords: cpuidRecords(message, ref, list),
    syscallbufProtocolVersion: message.u16(ref, 6),
    xcr0: message.u64(ref, 8),
    ticksSemantics: ticksSemantics === 1 ? 'taken-branches' : 'retired-conditional-branches',
    ok: !message.bit(ref, 33),
    preloadThreadLocalsRecorded: message.bit(ref, 34),
    rrcallBase: message.i32(ref, 20) ^ 442,
    nativeArch: message.u16(ref, 18) ^ 1,
    quirks: {
      explicitProcMem: !message.bit(ref, 35),
      specialLibrrpage: !message.bit(ref, 37),
      pkeyAllocRecordedExtraRegs: message.bit(ref, 38),
      bufferedSyscallForcedTick: message.bit(ref, 39),
      usesGlobalsInReplay: !message.bit(ref, 40),
    },
    xsaveFipFdpQuirk: ternary(24),
    fdpExceptionOnlyQuirk: ternary(26),
    clearFipFdp: message.bit(ref, 36),
    chaosMode: ternary(28),
    exclusionRangeStart: message.u64(ref, 32),
    exclusionRangeEnd: message.u64(ref, 40),
    requiredForwardCompatibilityVersion: message.i32(ref, 48),
    runtimePageSize: message.i32(ref, 52) ^ 4096,
    preloadLibraryPageSize: message.i32(ref, 56) ^ 4096,
    syscallbufFdsDisabledSize: (message.u32(ref, 60) ^ 1024) >>> 0,
    syscallbufHdrSize: (message.u32(ref, 64) ^ 30) >>> 0,
    uname: utsName(message, ref, list),
    maxVirtualAddressSize: message.u16(ref, 30) & 0xff,
    cpuImproperlyConfigured: ternary(68),
  };
}

function cpuidRecords(message: Message, ref: StructRef, list: List): CpuidRecord[] {
  const bytes = message.data(ref, 1, list);
  if (bytes.length % CPUID_RECORD_BYTES !== 0)
    message.fail(`cpuidRecords has ${bytes.length} bytes, no multiple of ${CPUID_RECORD_BYTES}`);
  const words = new Uint32Array(bytes.buffer, 0, bytes.length / 4);
  const records: CpuidRecord[] = [];
  for (let i = 0; i < words.length; i += 6) {
    const [eaxIn, ecxIn, eax, ebx, ecx, edx] = words.subarray(i, i + 6);
    records.push({ eaxIn, ecxIn, eax, ebx, ecx, edx });
  }
  return records;
}

function utsName(message: Message, ref: StructRef, list: List): UtsName {
  const name = new StructRef();
  message.struct(ref, 2, name);
  const field = (index: number): string => {
    message.list(name, index, 2, list);
    return nameOf(message.bytesOf(list)).replace(/\0.*$/s, '');
  };
  return {
    sysname: field(0),
    nodename: field(1),
    release: field(2),
    version: field(3),
    machine: field(4),
    domainname: field(5),
  };
}

/**
 * Why a recording may not replay on any machine, as a sentence; null if the header has no such
 * flag. rr checks the processor before it records, and refuses to record unless forced.
 */
export function recordingDoubt({ cpuImproperlyConfigured }: TraceHeader): string | null {
  if (cpuImproperlyConfigured !== 'true') return null;
  return (
    'The recorder found its processor misconfigured (such as AMD Zen with SpecLockMap not disabled) and was forced to ' +
    'record: its tick counts may be wrong, and then it cannot be replayed.'
  );
}

/** What a trace without header has: the schema's defaults, with what every current writer sets. */
function incompleteHeader(): TraceHeader {
  return {
    version: TRACE_VERSION,
    uuid: new Uint8Array(0),
    bindToCpu: 0,
    hasCpuidFaulting: false,
    cpuidRecords: [],
    syscallbufProtocolVersion: 0,
    xcr0: 0n,
    ticksSemantics: 'retired-conditional-branches',
    ok: false,
    preloadThreadLocalsRecorded: true,
    rrcallBase: 1000,
    nativeArch: Arch.x8664,
    quirks: {
      explicitProcMem: false,
      specialLibrrpage: false,
      pkeyAllocRecordedExtraRegs: true,
      bufferedSyscallForcedTick: true,
      usesGlobalsInReplay: true,
    },
    xsaveFipFdpQuirk: 'unknown',
    fdpExceptionOnlyQuirk: 'unknown',
    clearFipFdp: false,
    chaosMode: 'unknown',
    exclusionRangeStart: 0n,
    exclusionRangeEnd: 0n,
    requiredForwardCompatibilityVersion: FORWARD_COMPATIBILITY,
    runtimePageSize: 4096,
    preloadLibraryPageSize: 4096,
    syscallbufFdsDisabledSize: 1024,
    syscallbufHdrSize: 30,
    uname: { sysname: '', nodename: '', release: '', version: '', machine: '', domainname: '' },
    maxVirtualAddressSize: 0,
    cpuImproperlyConfigured: 'unknown',
  };
}

function requireSupported(path: string, header: TraceHeader): void {
  const refuse = (what: string, hint: string): never => {
    throw new RevenantError('E_UNSUPPORTED', `${path}: ${what}.`, hint);
  };
  const { requiredForwardCompatibilityVersion: required, syscallbufProtocolVersion: protocol } = header;
  if (required > FORWARD_COMPATIBILITY) {
    const what = `the trace requires forward compatibility version ${required}, this reader has ${FORWARD_COMPATIBILITY}`;
    refuse(what, 'The trace was written by a newer rr than this reader knows.');
  }
  if (protocol > 0)
    refuse(
      `syscall buffer protocol ${protocol}, only 0 is supported`,
      'Record again with rr 5.6.0 or later.',
    );
  if (header.nativeArch !== Arch.x8664) {
    const name = ['i386', 'x86-64', 'aarch64'][header.nativeArch] ?? `number ${header.nativeArch}`;
    refuse(
      `it was recorded on architecture ${name}, only x86-64 is replayed`,
      'Record on an x86-64 machine.',
    );
  }
  if (header.maxVirtualAddressSize > USER_ADDRESS_BITS) {
    refuse(
      `programs used ${header.maxVirtualAddressSize} bits of address, ${USER_ADDRESS_BITS} are replayed`,
      'Record on a machine with four-level page tables.',
    );
  }
  requirePlausible(path, header);
}

/** Sizes that the engine lays memory out by. */
function requirePlausible(path: string, header: TraceHeader): void {
  const check = (field: string, value: number, least: number, most: number): void => {
    if (value < least || value > most) throw corrupt(path, `${field} is ${value}, implausible`);
  };
  check('rrcallBase', header.rrcallBase, 1, 1 << 24);
  check('syscallbufFdsDisabledSize', header.syscallbufFdsDisabledSize, 1, 1 << 20);
  check('syscallbufHdrSize', header.syscallbufHdrSize, 16, 4096);
  for (const size of [header.runtimePageSize, header.preloadLibraryPageSize])
    check('a page size', size, 4096, 1 << 16);
}
