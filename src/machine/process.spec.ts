import { describe, expect, it } from 'vitest';
import { gva } from '../engine/base/address.js';
import { USE_BLOCK, type TraceUse } from '../engine/trace/use.js';
import { isClear, PROCESS_BASE, processBase } from './process.js';
import { judgeUse } from './use.js';

/** A recording with mappings in these ranges of addresses. */
function using(...ranges: (readonly [start: number, end: number])[]): TraceUse {
  const mapped = new Uint8Array(0x8000);
  for (const [start, end] of ranges) mapped.fill(1, start / USE_BLOCK, end / USE_BLOCK);
  return { mapped, ownSegments: null, code32: null, ownKeys: null };
}
const TIB = 2 ** 40;

describe('the place of a process', () => {
  it('is the usual one where nothing is mapped there', () => {
    expect(processBase(null, 4096)).toBe(PROCESS_BASE);
    expect(processBase(using([0, 0x20 * TIB], [0x50 * TIB, 0x80 * TIB]), 4096)).toBe(PROCESS_BASE);
  });

  it.each([
    ['above', using([PROCESS_BASE, PROCESS_BASE + TIB])],
    ['below', using([PROCESS_BASE, 0x80 * TIB])],
    ['in a hole', using([0, 0x40 * TIB], [0x40 * TIB + 32 * USE_BLOCK, 0x80 * TIB])],
    ['beside a stack', using([PROCESS_BASE + 2 * USE_BLOCK, PROCESS_BASE + 3 * USE_BLOCK])],
  ])('is where the recording has nothing: %s', (_, use) => {
    const base = processBase(use, 4096)!;
    expect([base % USE_BLOCK, base === PROCESS_BASE]).toEqual([0, false]);
    expect(isClear({ start: gva(base - 2 * USE_BLOCK), end: gva(base + 3 * USE_BLOCK) }, use)).toBe(true);
    expect(judgeUse('process', use)).toMatchObject({ ok: true });
  });

  it('is nowhere where the recording has mappings everywhere, which is said before anything runs', () => {
    // Holes of 16 GiB: too small.
    const ranges = Array.from({ length: 0x80 * 32 }, (_, at) => [at * 32, at * 32 + 28] as const);
    const use = using(...ranges.map(([from, to]) => [from * USE_BLOCK, to * USE_BLOCK] as const));
    expect(processBase(use, 4096)).toBeNull();
    const { ok, reasons, hint } = judgeUse('process', use);
    expect(ok).toBe(false);
    expect(reasons.join()).toMatch(/mappings everywhere: there are no 20 GiB/);
    expect(hint).toMatch(/--machine emulated/);
    expect(judgeUse('emulated', use)).toMatchObject({ ok: true });
  });

  it('depends on the size of guest memory', () => {
    const use = using([0, PROCESS_BASE - 2 * USE_BLOCK], [PROCESS_BASE + 3 * USE_BLOCK, 0x80 * TIB]);
    expect(processBase(use, 4096)).toBe(PROCESS_BASE);
    expect(processBase(use, 8192)).toBeNull();
  });
});

describe('what a process cannot have', () => {
  it('is named with its frame', () => {
    const use = { ...using(), ownSegments: { frameTime: 113, tid: 118 } };
    expect(judgeUse('process', use).reasons).toEqual([
      'Frame 113: task 118 gets a segment of its own (modify_ldt, set_thread_area), which a process cannot have.',
    ]);
    expect(judgeUse('emulated', use)).toMatchObject({ ok: true });
  });

  it('is the same for 32-bit code everywhere', () => {
    const use = { ...using(), code32: { frameTime: 14, tid: 288 } };
    for (const kind of ['host', 'process', 'emulated'] as const)
      expect(judgeUse(kind, use).reasons).toEqual(['Frame 14: task 288 runs 32-bit code.']);
  });
});
