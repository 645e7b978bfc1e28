import { describe, expect, it } from 'vitest';
import { gva } from '../base/address.js';
import { ProcessReason } from './exit.js';
import { refusalOf } from './refusal.js';

const reserved = { start: gva(0x2a00_0000_0000), end: gva(0x2a02_0000_0000) };
const refused = (reason: number, detail: bigint, more = 0n): [string, string, boolean] | null => {
  const error = refusalOf('Task 7', { reason, detail, more }, reserved);
  return error && [error.code, error.message, error.elsewhere];
};

describe('what ends a run in a process', () => {
  it.each([
    ['of a local table', 0x7n, 0n],
    ['of set_thread_area', 0x63n, 0n],
    ['of a table that the program was given', 0x48n, 1n],
  ])('is a segment of its own, which other machines have: %s', (_, selector, more) =>
    expect(refused(ProcessReason.segment, selector, more)).toEqual([
      'E_MACHINE_CANNOT',
      expect.stringContaining('a segment of its own'),
      true,
    ]),
  );

  it('is a selector that no processor loads', () =>
    expect(refused(ProcessReason.segment, 0x1230n)).toEqual([
      'E_TRACE_CORRUPT',
      expect.stringContaining('0x1230'),
      false,
    ]));

  it('is an address that a process cannot map', () => {
    expect(refused(ProcessReason.unmappable, 0x2a00_0000_1000n)?.[1]).toMatch(
      /where the process machine itself is/,
    );
    expect(refused(ProcessReason.unmappable, 0x1000n, 1n)?.[1]).toMatch(/mmap_min_addr/);
  });

  it('is the machine at fault', () => {
    expect(refused(ProcessReason.unmappable, 0x1000n, 12n)).toBeNull();
    expect(refused(ProcessReason.signal, 11n)).toBeNull();
  });
});
