import { describe, expect, it } from 'vitest';
import type { CodeSource } from './disassemble.js';
import { disassembleAround } from './disassemble.js';

/** push rbp; mov rbp,rsp; sub rsp,16; call +5; lea rax,[rip+0x10]; je -2; xsavec [rsp+64]; nop; ret */
const code = Buffer.from('554889e54883ec10e805000000488d051000000074fe0fc764244090c3', 'hex');
const start = 0x401000n;

function sourceOf(overrides: Partial<CodeSource> = {}): CodeSource {
  return {
    read(address, into) {
      if (address < start || address >= start + BigInt(code.length)) return 0;
      const part = code.subarray(Number(address - start), Number(address - start) + into.length);
      into.set(part);
      return part.length;
    },
    symbolAt: (address) =>
      address >= start && address < start + 0x100n ? `main+0x${(address - start).toString(16)}` : null,
    ...overrides,
  };
}

describe('disassembleAround', () => {
  const je = start + 20n;

  it('shows instructions before and after rip', () => {
    const lines = disassembleAround(je, sourceOf({ functionAt: () => start }));
    expect(lines.map(({ text }) => text)).toEqual([
      'push rbp',
      'mov rbp, rsp',
      'sub rsp, 0x10',
      'call 0x401012',
      'lea rax, [0x401024]',
      'je short 0x401014',
      'xsavec [rsp+0x40]',
      'nop',
      'ret',
    ]);
    expect(lines.filter(({ current }) => current).map(({ address }) => address)).toEqual([je]);
    expect(lines[3].comment).toBe('main+0x12');
    expect(lines[4]).toMatchObject({ bytes: '488d0510000000', comment: 'main+0x24' });
  });

  it('finds its way back without symbols', () => {
    const lines = disassembleAround(je, sourceOf(), { before: 2, after: 1 });
    expect(lines.map(({ text }) => text)).toEqual([
      'call 0x401012',
      'lea rax, [0x401024]',
      'je short 0x401014',
    ]);
    expect(disassembleAround(start, sourceOf())[0]).toMatchObject({ address: start, current: true });
  });

  it('ignores a function start that is out of step', () => {
    const lines = disassembleAround(je, sourceOf({ functionAt: () => start - 0x10n }), {
      before: 1,
      after: 1,
    });
    expect(lines.map(({ text }) => text)).toEqual(['lea rax, [0x401024]', 'je short 0x401014']);
  });

  it('marks undecodable bytes', () => {
    expect(disassembleAround(0xffff_ffff_ffff_fff0n, sourceOf())).toEqual([]);
    expect(disassembleAround(0n, sourceOf({ read: () => 0 }))).toEqual([]);
    const bad = disassembleAround(0x1000n, sourceOf({ read: (_, into) => into.fill(0x06).length }), {
      before: 0,
      after: 2,
    });
    expect(bad.map(({ text }) => text)).toEqual(['(bad)', '(bad)']);
  });

  it('stops at half an instruction', () => {
    const cut = sourceOf({
      read: (address, into) =>
        address === start
          ? (into.set(code.subarray(0, 3).subarray(0, into.length)), Math.min(3, into.length))
          : 0,
    });
    expect(disassembleAround(start, cut, { before: 0 }).map(({ text }) => text)).toEqual(['push rbp']);
  });
});
