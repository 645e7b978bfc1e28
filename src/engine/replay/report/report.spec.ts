import { describe, expect, it } from 'vitest';
import { newRegisters, Reg, setRegister } from '../../base/registers.js';
import type { DivergenceReport } from './report.js';
import { compareRegisters, DivergenceError, formatReport, reportDocument, rerunCommand } from './report.js';

function sample(overrides: Partial<DivergenceReport> = {}): DivergenceReport {
  const [expected, found] = [newRegisters(), newRegisters()];
  setRegister(expected, Reg.rax, 5n);
  setRegister(found, Reg.rax, 0xffff_ffff_ffff_fff2n);
  setRegister(found, Reg.rbx, 0x11n);
  return {
    trace: 'traces/hello',
    frameTime: 124,
    tid: 4242,
    taskName: 'hello',
    event: 'read exiting',
    summary: 'registers differ from the recorded ones',
    expected: 'a system call: read',
    found: 'page fault at 0x10',
    registers: compareRegisters(expected, found, ['rax']),
    ticks: { expected: 8832, found: 8738 },
    rip: {
      address: 0x401014n,
      symbol: 'main+0x14',
      mapping: '00401000-00402000 r-xp 00001000 /usr/bin/hello',
    },
    rsp: { address: 0x7ffe_0000_1000n, symbol: null, mapping: null },
    instructions: [
      {
        address: 0x40100fn,
        bytes: '488d051000000088888888ff',
        text: 'lea rax, [rip]',
        comment: 'table',
        current: false,
      },
      { address: 0x401014n, bytes: '74fe', text: 'je short 0x401014', comment: '', current: true },
    ],
    lastFrames: [
      { frameTime: 99, tid: 4242, ticks: 8000, event: 'openat entering' },
      { frameTime: 124, tid: 4242, ticks: 8832, event: 'read exiting' },
    ],
    machine: 'QEMU emulator, EPYC-Rome,+pku',
    machineLacks: ['AVX-512 (XCR0 0xe7)'],
    advice: ['Replay on a processor with AVX-512.'],
    rerun: 'revenant replay --goto 123 traces/hello',
    ...overrides,
  };
}

describe('formatReport', () => {
  const text = formatReport(sample());
  const lines = text.split('\n');

  it('says what, where and what next', () => {
    expect(lines[0]).toBe(
      'The replay diverged at frame 124, task 4242 (hello), read exiting: registers differ from the recorded ones.',
    );
    for (const part of [
      '  expected: a system call: read',
      '  found:    page fault at 0x10',
      'ticks: 8832 recorded, 8738 replayed (94 too few)',
      'rip: 0x401014  main+0x14',
      'rsp: 0x7ffe00001000  no symbol',
      '=> 0x401014  74fe                  je short 0x401014',
      '   0x40100f  488d0510000000888888+ lea rax, [rip]  ; table',
      '     99   4242   8000  openat entering',
      '  - AVX-512 (XCR0 0xe7)',
      '  - Replay on a processor with AVX-512.',
      'To see it again: revenant replay --goto 123 traces/hello',
    ]) {
      expect(lines).toContain(part);
    }
  });

  it('stars the registers that differ, and only those', () => {
    expect(lines.filter((line) => line.startsWith('*'))).toEqual([
      '* rax      0000000000000005  fffffffffffffff2',
    ]);
    expect(lines).toContain('  rbx      0000000000000000  0000000000000011');
  });

  it('omits unknown parts', () => {
    const bare = formatReport(
      sample({
        expected: null,
        found: null,
        registers: [],
        ticks: null,
        rip: null,
        rsp: null,
        instructions: [],
        lastFrames: [],
        machineLacks: [],
        advice: [],
      }),
    );
    expect(bare.trimEnd().split('\n')).toEqual([
      lines[0],
      '',
      'machine: QEMU emulator, EPYC-Rome,+pku',
      '',
      'To see it again: revenant replay --goto 123 traces/hello',
    ]);
    expect(formatReport(sample({ ticks: { expected: 1, found: null } }))).toContain(
      'ticks: 1 recorded; not counted here',
    );
  });

  it('lets no control character of the trace through', () => {
    const evil = '\u001b[2Jx\n\u202e\r';
    const hostile = formatReport(
      sample({
        taskName: evil,
        rip: { address: 1n, symbol: evil, mapping: evil },
        rerun: evil,
        machineLacks: [evil],
      }),
    );
    // eslint-disable-next-line no-control-regex
    expect(hostile.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u202e]/);
    expect(hostile.split('\n').length).toBe(lines.length);
    expect(hostile).toContain('(\\x1b[2Jx\\x0a');
  });
});

describe('DivergenceError', () => {
  it('carries the report', () => {
    const report = sample();
    const error = new DivergenceError(report);
    expect([error.code, error.exitCode, error.report]).toEqual(['E_DIVERGED', 1, report]);
    expect(error.message).toMatch(/frame 124/);
    expect(error.hint).toContain(report.rerun);
  });
});

describe('reportDocument', () => {
  it('is JSON with 64-bit numbers as strings', () => {
    const document = reportDocument(sample());
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
    expect(document.rip?.address).toBe('0x401014');
    expect(document.registers[Reg.rax]).toEqual({
      name: 'rax',
      expected: '0x5',
      found: '0xfffffffffffffff2',
      differs: true,
    });
  });
});

describe('rerunCommand', () => {
  it('quotes for a shell', () => {
    expect(rerunCommand('traces/hello', 124)).toBe('revenant replay --goto 123 traces/hello');
    expect(rerunCommand("it's here", 1, ['--machine', 'host'])).toBe(
      `revenant replay --machine host --goto 1 'it'\\''s here'`,
    );
  });
});
