import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EventKind, type TraceFrame } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import type { TraceHeader } from '../../src/engine/trace/records.js';
import { writeTrace, type TraceParts } from './trace-builder.js';
import { encode, hasCapnp, textOf, VOID, Word, type Value } from './trace-format.js';

/**
 * Every field of every struct of the trace format, encoded by Cap'n Proto's own tool with a value that no other
 * field of its struct has, and read back.
 */

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'schema-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let made = 0;
const open = (parts: TraceParts): TraceReader =>
  TraceReader.open(writeTrace(path.join(folder, String(made++)), parts));

const bytes = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);
const word = (text: string): Word => new Word(text);

/** All that was encoded, for the count of fields. */
const encoded: string[] = [];
function message(type: string, ...values: Value[]): Uint8Array {
  encoded.push(...values.map((value) => `${type} ${textOf(value)}`));
  return encode(type, ...values);
}

const version = (header: Value): Uint8Array =>
  Buffer.concat([Buffer.from('85\n'), message('Header', header)]);

const full = {
  uuid: bytes(16, 1),
  bindToCpu: 77,
  ticksSemantics: word('takenBranches'),
  syscallbufProtocolVersion: 0,
  ok: false,
  preloadThreadLocalsRecorded: true,
  rrcallBase: 1000,
  nativeArch: word('x8664'),
  x86: {
    hasCpuidFaulting: true,
    cpuidRecords: bytes(24, 40),
    xcr0: 0x2_0000_0207n,
    xsaveFipFdpQuirk: word('knownTrue'),
    fdpExceptionOnlyQuirk: word('knownFalse'),
    clearFipFdp: true,
  },
  aarch64: { hasPAuth: true, hasTPIDR: true },
  quirks: {
    explicitProcMem: false,
    specialLibrrpage: false,
    pkeyAllocRecordedExtraRegs: true,
    bufferedSyscallForcedTick: true,
    usesGlobalsInReplay: false,
  },
  chaosMode: word('knownTrue'),
  exclusionRangeStart: 0x1234_5678_9000n,
  exclusionRangeEnd: 0xffff_8765_4321_0000n,
  requiredForwardCompatibilityVersion: 3,
  runtimePageSize: 16384,
  preloadLibraryPageSize: 65536,
  syscallbufFdsDisabledSize: 17408,
  syscallbufHdrSize: 48,
  uname: {
    sysname: 'Linux',
    nodename: 'there',
    release: '6.18',
    version: '#2',
    machine: 'x86_64',
    domainname: 'here',
  },
  maxVirtualAddressSize: 47,
  cpuImproperlyConfigured: word('knownFalse'),
};

const read: TraceHeader = {
  version: 85,
  uuid: bytes(16, 1),
  bindToCpu: 77,
  hasCpuidFaulting: true,
  cpuidRecords: [
    {
      eaxIn: 0x2b2a2928,
      ecxIn: 0x2f2e2d2c,
      eax: 0x33323130,
      ebx: 0x37363534,
      ecx: 0x3b3a3938,
      edx: 0x3f3e3d3c,
    },
  ],
  syscallbufProtocolVersion: 0,
  xcr0: 0x2_0000_0207n,
  ticksSemantics: 'taken-branches',
  ok: false,
  preloadThreadLocalsRecorded: true,
  rrcallBase: 1000,
  nativeArch: 1,
  quirks: {
    explicitProcMem: false,
    specialLibrrpage: false,
    pkeyAllocRecordedExtraRegs: true,
    bufferedSyscallForcedTick: true,
    usesGlobalsInReplay: false,
  },
  xsaveFipFdpQuirk: 'true',
  fdpExceptionOnlyQuirk: 'false',
  clearFipFdp: true,
  chaosMode: 'true',
  exclusionRangeStart: 0x1234_5678_9000n,
  exclusionRangeEnd: 0xffff_8765_4321_0000n,
  requiredForwardCompatibilityVersion: 3,
  runtimePageSize: 16384,
  preloadLibraryPageSize: 65536,
  syscallbufFdsDisabledSize: 17408,
  syscallbufHdrSize: 48,
  uname: full.uname,
  maxVirtualAddressSize: 47,
  cpuImproperlyConfigured: 'false',
};

const mapping = {
  frameTime: 1,
  start: 0x7f12_3456_7000n,
  end: 0x7f12_3456_9000n,
  fsname: '/bin/one',
  device: 0xfe01_0000_0002n,
  inode: 2n ** 63n + 3n,
  prot: 5,
  flags: -6,
  fileOffsetBytes: 0x7000,
  statMode: 0o100755,
  statUid: 4_000_000_001,
  statGid: 4_000_000_002,
  statSize: 2n ** 40n + 1n,
  statMTime: -(2n ** 40n),
  extraFds: [
    { tid: 81, fd: -1 },
    { tid: 82, fd: 9 },
  ],
  skipMonitoringMappedFd: true,
};

const readMapping = {
  ...mapping,
  start: 0x7f12_3456_7000,
  end: 0x7f12_3456_9000,
  statSize: 2 ** 40 + 1,
  statMTime: -(2 ** 40),
};

const frame = {
  tid: 4_000_001,
  ticks: 2n ** 52n + 1n,
  monotonicSec: 123456.75,
  memWrites: [
    {
      tid: 4_000_002,
      addr: 0xffff_8001_2345_6789n,
      size: 32,
      holes: [
        { offset: 1, size: 20 },
        { offset: 24, size: 7 },
      ],
      sizeIsConservative: true,
    },
  ],
  arch: word('x8664'),
  registers: { raw: bytes(216, 3) },
  extraRegisters: { raw: bytes(832, 5) },
  inSyscallbufSyscallHook: 0x7fff_1234_5678n,
};

/** The first frame of a trace with this event. */
function frameOf(event: Value, more: Value = {}): TraceFrame {
  const fields = { ...frame, ...(more as object), event } as Value;
  const reader = open({ events: [message('Frame', fields)], data: bytes(8, 0) });
  const found = reader.advance();
  reader.close();
  return found!;
}

describe.skipIf(!hasCapnp)("the trace format (skipped without Cap'n Proto's capnp)", () => {
  it('has a header', () => {
    expect(open({ version: version(full) }).header).toEqual(read);
  });

  it('has fields of a header that older writers leave out', () => {
    expect(open({ version: version({}) }).header).toMatchObject({
      ok: true,
      rrcallBase: 442,
      nativeArch: 1,
      preloadThreadLocalsRecorded: false,
      quirks: {
        explicitProcMem: true,
        specialLibrrpage: true,
        pkeyAllocRecordedExtraRegs: false,
        bufferedSyscallForcedTick: false,
        usesGlobalsInReplay: true,
      },
      runtimePageSize: 4096,
      preloadLibraryPageSize: 4096,
      syscallbufFdsDisabledSize: 1024,
      syscallbufHdrSize: 30,
      maxVirtualAddressSize: 0,
      cpuImproperlyConfigured: 'unknown',
    });
  });

  // Setting all of them at once would not distinguish them.
  it.each<[string, Value, (header: TraceHeader) => boolean]>([
    ['hasCpuidFaulting', { x86: { hasCpuidFaulting: true } }, (header) => header.hasCpuidFaulting],
    ['clearFipFdp', { x86: { clearFipFdp: true } }, (header) => header.clearFipFdp],
    ['ok', { ok: false }, (header) => !header.ok],
    [
      'preloadThreadLocalsRecorded',
      { preloadThreadLocalsRecorded: true },
      (header) => header.preloadThreadLocalsRecorded,
    ],
    ['explicitProcMem', { quirks: { explicitProcMem: false } }, ({ quirks }) => !quirks.explicitProcMem],
    ['specialLibrrpage', { quirks: { specialLibrrpage: false } }, ({ quirks }) => !quirks.specialLibrrpage],
    [
      'pkeyAllocRecordedExtraRegs',
      { quirks: { pkeyAllocRecordedExtraRegs: true } },
      ({ quirks }) => quirks.pkeyAllocRecordedExtraRegs,
    ],
    [
      'bufferedSyscallForcedTick',
      { quirks: { bufferedSyscallForcedTick: true } },
      ({ quirks }) => quirks.bufferedSyscallForcedTick,
    ],
    [
      'usesGlobalsInReplay',
      { quirks: { usesGlobalsInReplay: false } },
      ({ quirks }) => !quirks.usesGlobalsInReplay,
    ],
  ])('has the flag %s of a header', (_name, header, isSet) => {
    expect(isSet(open({ version: version(header) }).header)).toBe(true);
    expect(isSet(open({ version: version({}) }).header)).toBe(false);
  });

  it('has mappings', () => {
    const sources: Value[] = [{ zero: VOID }, { trace: VOID }, { file: { backingFileName: 'mmap_1_one' } }];
    const mmaps = message('MMap', ...sources.map((source) => ({ ...mapping, source })));
    const reader = open({ mmaps: [mmaps] });
    expect(reader.nextMapping(1)).toEqual({ ...readMapping, source: { kind: 'zero' } });
    expect(reader.nextMapping(1)).toEqual({ ...readMapping, source: { kind: 'trace' } });
    const file = { kind: 'file', backingFileName: 'mmap_1_one' };
    expect(reader.nextMapping(1)).toEqual({ ...readMapping, source: file });
    expect(reader.nextMapping(1)).toBeNull();
  });

  it('has task events', () => {
    const exec = {
      fileName: '/bin/one',
      cmdLine: ['one', '', 'two three'],
      exeBase: 0x5512_3456_7000n,
      interpBase: 0x7fff_8765_4000n,
      interpName: '/lib/ld.so',
      pacData: { raw: bytes(40, 7) },
    };
    const events: Value[] = [
      { clone: { parentTid: 71, flags: -72, ownNsTid: 73 } },
      { exec },
      { exit: { exitStatus: -74 } },
      { detach: { none: VOID } },
    ];
    const times = events.map((event, i) => ({ frameTime: 2 ** 40 + i, tid: 70, ...(event as object) }));
    const reader = open({ tasks: [message('TaskEvent', ...(times as Value[]))] });
    const at = (i: number): object => ({ frameTime: 2 ** 40 + i, tid: 70 });
    const next = (i: number): unknown => reader.nextTaskEvent(2 ** 40 + i);
    expect(next(0)).toEqual({ ...at(0), kind: 'clone', parentTid: 71, flags: -72, ownNsTid: 73 });
    expect(next(1)).toEqual({ ...at(1), kind: 'exec', ...exec, pacData: bytes(40, 7) });
    expect(next(2)).toEqual({ ...at(2), kind: 'exit', exitStatus: -74 });
    expect(next(3)).toEqual({ ...at(3), kind: 'detach' });
  });

  it('has frames', () => {
    const found = frameOf({ sched: VOID });
    expect(found).toMatchObject({
      tid: 4_000_001,
      ticks: 2 ** 52 + 1,
      monotonicSec: 123456.75,
      arch: 1,
      kind: EventKind.sched,
      hasRegisters: true,
      extraRegisters: bytes(832, 5),
      inSyscallbufSyscallHook: 0x7fff_1234_5678n,
      memWriteCount: 1,
      memWrites: [
        {
          tid: 4_000_002,
          addressLow: 0x2345_6789,
          addressHigh: 0xffff_8001,
          size: 32,
          sizeIsConservative: true,
          holes: [1, 20, 24, 7],
          holeBytes: 27,
        },
      ],
    });
    expect(new Uint8Array(found.registers.buffer, found.registers.byteOffset, 216)).toEqual(bytes(216, 3));
  });

  it.each(Object.keys(EventKind).filter((name) => !name.startsWith('signal') && !name.startsWith('syscall')))(
    'has the event %s',
    (name) => {
      expect(frameOf({ [name]: VOID }).kind).toBe(EventKind[name as keyof typeof EventKind]);
    },
  );

  it('has the events syscallbufReset and syscallbufAbortCommit', () => {
    expect(frameOf({ syscallbufReset: VOID }).kind).toBe(EventKind.syscallbufReset);
    expect(frameOf({ syscallbufAbortCommit: VOID }).kind).toBe(EventKind.syscallbufAbortCommit);
  });

  it('has flushes', () => {
    const found = frameOf({ syscallbufFlush: { mprotectRecords: bytes(48, 9) } });
    expect(found).toMatchObject({ kind: EventKind.syscallbufFlush, mprotectRecords: bytes(48, 9) });
  });

  it.each(['signal', 'signalDelivery', 'signalHandler'] as const)('has the event %s', (name) => {
    const signal = { siginfoArch: word('x8664'), siginfo: bytes(128, 11), deterministic: true };
    const found = frameOf({ [name]: { ...signal, disposition: word('ignored') } });
    expect(found).toMatchObject({
      kind: EventKind[name],
      siginfoArch: 1,
      siginfo: bytes(128, 11),
      deterministic: true,
      disposition: 2,
    });
  });

  it('has system calls', () => {
    const call = (extra: Value): TraceFrame =>
      frameOf({
        syscall: {
          arch: word('x8664'),
          number: -12,
          state: word('exiting'),
          failedDuringPreparation: true,
          extra,
        },
      });
    expect(call({ none: VOID })).toMatchObject({
      kind: EventKind.syscall,
      syscallArch: 1,
      syscallNumber: -12,
      syscallState: 2,
      failedDuringPreparation: true,
      extra: { kind: 'none' },
    });
    const extraOf = (extra: Value): unknown => call(extra).extra;
    expect(extraOf({ writeOffset: -(2n ** 50n) })).toEqual({ kind: 'writeOffset', offset: -(2n ** 50n) });
    expect(extraOf({ execFdsToClose: [3, 70000, 5] })).toEqual({
      kind: 'execFdsToClose',
      fds: [3, 70000, 5],
    });
    const fds = [
      { fd: 13, path: '/dev/tty', device: 2n ** 33n, inode: 2n ** 63n },
      { fd: 14, path: 'terminal', device: 15n, inode: 16n },
    ];
    expect(extraOf({ openedFds: fds })).toEqual({ kind: 'openedFds', fds });
    expect(extraOf({ socketAddrs: { localAddr: bytes(16, 17), remoteAddr: bytes(28, 18) } })).toEqual({
      kind: 'socketAddrs',
      local: bytes(16, 17),
      remote: bytes(28, 18),
    });
    const ranges = [{ start: 0x7f00_0000_1000n, end: 0x7f00_0000_3000n }];
    expect(extraOf({ madviseRanges: ranges })).toEqual({ kind: 'madviseRanges', ranges });
  });

  it('has frames of other architectures where x86 has two', () => {
    const registers = { raw: bytes(68, 19) };
    const found = frameOf(
      { signal: { siginfoArch: word('x8664'), siginfo: bytes(128, 20), disposition: word('fatal') } },
      { arch: word('x86'), registers },
    );
    expect(found).toMatchObject({ arch: 0, siginfoArch: 1, disposition: 0, deterministic: false });
  });

  it('has no field that no test here has set', () => {
    const schema = fs.readFileSync(path.join(import.meta.dirname, 'trace-format.capnp'), 'utf8');
    const fields = [...schema.replace(/#.*/g, '').matchAll(/^\s+(\w+) (?:@\d+ )?:[^{]/gm)].map(
      ([, name]) => name,
    );
    expect(fields.length).toBeGreaterThan(120);
    const all = encoded.join('\n');
    expect([...new Set(fields)].filter((name) => !new RegExp(`\\b${name} = `).test(all))).toEqual([]);
  });
});
