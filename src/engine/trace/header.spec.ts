import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { StructBuilder } from '../../../test/trace/message-builder.js';
import { headerMessage } from '../../../test/trace/trace-builder.js';
import { readHeader, recordingDoubt } from './header.js';
import type { TraceHeader } from './records.js';
import { FileSource } from './source.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'header-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

function header(bytes: Uint8Array | string, incomplete = false): TraceHeader {
  const file = path.join(folder, 'version');
  fs.writeFileSync(file, bytes);
  return readHeader(FileSource.open(file), incomplete);
}

const made = (fields: (header: StructBuilder) => void): TraceHeader =>
  header(Buffer.concat([Buffer.from('85\n'), headerMessage(fields)]));

const sample = (name: string): TraceHeader =>
  readHeader(FileSource.open(path.resolve(import.meta.dirname, '../../../traces', name, 'version')), false);

describe('the header of rr 5.6.0, shorter than the schema', () => {
  it('has the defaults of the schema where it ends', () => {
    expect(sample('zen2/hello-static')).toMatchObject({
      version: 85,
      xcr0: 7n,
      hasCpuidFaulting: false,
      syscallbufProtocolVersion: 0,
      ticksSemantics: 'retired-conditional-branches',
      ok: true,
      preloadThreadLocalsRecorded: true,
      rrcallBase: 1000,
      nativeArch: 1,
      quirks: {
        explicitProcMem: false,
        specialLibrrpage: false,
        pkeyAllocRecordedExtraRegs: true,
        bufferedSyscallForcedTick: true,
        usesGlobalsInReplay: true,
      },
      requiredForwardCompatibilityVersion: 3,
      runtimePageSize: 4096,
      preloadLibraryPageSize: 4096,
      syscallbufFdsDisabledSize: 1024,
      syscallbufHdrSize: 30,
      uname: { sysname: '', nodename: '', release: '', version: '', machine: '', domainname: '' },
      maxVirtualAddressSize: 0,
      cpuImproperlyConfigured: 'unknown',
    });
  });

  it('has CPUID records', () => {
    const { cpuidRecords, uuid } = sample('zen2/hello-static');
    expect(uuid).toHaveLength(16);
    expect(cpuidRecords).toHaveLength(121);
    expect(cpuidRecords[0]).toEqual({
      eaxIn: 0,
      ecxIn: 0xffff_ffff,
      eax: 0x10,
      ebx: 0x68747541,
      ecx: 0x444d4163,
      edx: 0x69746e65,
    });
    const xsave = cpuidRecords.find((record) => record.eaxIn === 0xd && record.ecxIn === 0);
    expect(xsave).toMatchObject({ eax: 7, ebx: 0x340, ecx: 0x340, edx: 0 });
    expect(sample('skylake-pku/tree').xcr0).toBe(0x207n);
  });
});

describe('a header', () => {
  it('stores fields with a default XORed with it, flags with default true inverted', () => {
    const read = made((fields) => {
      fields
        .i32(60, 0x4400)
        .i32(64, 30 ^ 32)
        .i32(56, 4096 ^ 16384)
        .bit(33)
        .bit(35)
        .bit(37)
        .bit(40)
        .bit(38)
        .bit(36);
      fields
        .u16(24, 1)
        .u16(26, 2)
        .u16(28, 1)
        .u16(30, 47)
        .u16(68, 2)
        .u64(32, 0x1000)
        .u64(40, 0x2000)
        .i32(0, -1)
        .bit(32);
    });
    expect(read).toMatchObject({
      syscallbufFdsDisabledSize: 16384,
      syscallbufHdrSize: 32,
      preloadLibraryPageSize: 16384,
      ok: false,
      clearFipFdp: true,
      quirks: {
        explicitProcMem: false,
        specialLibrrpage: false,
        pkeyAllocRecordedExtraRegs: true,
        bufferedSyscallForcedTick: false,
        usesGlobalsInReplay: false,
      },
      xsaveFipFdpQuirk: 'true',
      fdpExceptionOnlyQuirk: 'false',
      chaosMode: 'true',
      maxVirtualAddressSize: 47,
      cpuImproperlyConfigured: 'false',
      exclusionRangeStart: 0x1000n,
      exclusionRangeEnd: 0x2000n,
      bindToCpu: -1,
      hasCpuidFaulting: true,
    });
  });

  it('reports a recorder that found its processor misconfigured', () => {
    expect(recordingDoubt(made((fields) => fields.u16(68, 1)))).toMatch(
      /misconfigured.*tick counts may be wrong/,
    );
    for (const other of [0, 2]) expect(recordingDoubt(made((fields) => fields.u16(68, other)))).toBeNull();
  });

  it('may name the system', () => {
    const read = made((fields) => {
      const uname = fields.struct(2, 0, 6);
      ['Linux', 'host', '6.1.0', '#1 SMP', 'x86_64', '(none)'].forEach((text, i) => uname.bytes(i, text));
    });
    expect(read.uname).toEqual({
      sysname: 'Linux',
      nodename: 'host',
      release: '6.1.0',
      version: '#1 SMP',
      machine: 'x86_64',
      domainname: '(none)',
    });
  });

  it.each<[string, (fields: StructBuilder) => void, string, RegExp]>([
    [
      'a forward compatibility that is not implemented',
      (f) => f.i32(48, 4),
      'E_UNSUPPORTED',
      /version 4, this reader has 3/,
    ],
    ['another syscall buffer protocol', (f) => f.u16(6, 1), 'E_UNSUPPORTED', /protocol 1/],
    ['i386', (f) => f.u16(18, 1), 'E_UNSUPPORTED', /architecture i386/],
    ['aarch64', (f) => f.u16(18, 3), 'E_UNSUPPORTED', /architecture aarch64/],
    ['57-bit addresses', (f) => f.u16(30, 56), 'E_UNSUPPORTED', /56 bits/],
    ['CPUID records that are cut off', (f) => f.bytes(1, new Uint8Array(25)), 'E_TRACE_CORRUPT', /25 bytes/],
    ['undefined tick semantics', (f) => f.u16(16, 2), 'E_TRACE_CORRUPT', /ticksSemantics is 2/],
    ['an undefined ternary', (f) => f.u16(28, 3), 'E_TRACE_CORRUPT', /enumeration/],
    ['a negative rrcallBase', (f) => f.i32(20, -1), 'E_TRACE_CORRUPT', /rrcallBase/],
    ['an absurd fd table', (f) => f.i32(60, -1), 'E_TRACE_CORRUPT', /syscallbufFdsDisabledSize/],
  ])('with %s is refused', (_name, fields, code, problem) => {
    expect(() => made((header) => void fields(header))).toThrow(expect.objectContaining({ code }));
    expect(() => made((header) => void fields(header))).toThrow(problem);
  });

  it.each<[string, Uint8Array | string, string]>([
    ['nothing', '', 'E_TRACE_CORRUPT'],
    ['no number', 'rr\n', 'E_TRACE_CORRUPT'],
    ['no line', '85', 'E_TRACE_CORRUPT'],
    ['an older version', '84\n', 'E_TRACE_VERSION'],
    ['a newer version', '86\n', 'E_TRACE_VERSION'],
    ['no message', '85\n', 'E_TRACE_CORRUPT'],
    [
      'more than a message',
      Buffer.concat([Buffer.from('85\n'), headerMessage(), Buffer.alloc(1)]),
      'E_TRACE_CORRUPT',
    ],
    ['two MiB', new Uint8Array(1 << 21), 'E_TRACE_CORRUPT'],
  ])('file with %s is refused', (_name, bytes, code) => {
    expect(() => header(bytes)).toThrow(expect.objectContaining({ code }));
  });

  it('has defaults of all current traces if the recorder was killed', () => {
    expect(header('85\n', true)).toMatchObject({
      rrcallBase: 1000,
      ok: false,
      xcr0: 0n,
      syscallbufHdrSize: 30,
    });
    expect(() => header('84\n', true)).toThrow(expect.objectContaining({ code: 'E_TRACE_VERSION' }));
  });
});
