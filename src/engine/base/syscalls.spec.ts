import { describe, expect, it } from 'vitest';
import { Sys } from './linux.js';
import { syscallName } from './syscalls.js';

const name = (number: number): string => syscallName(number, 1000);

describe('syscallName', () => {
  it('knows the first, the last and those around the gap', () => {
    expect([0, 334, 335, 424, 449, 462].map(name)).toEqual([
      'read',
      'rseq',
      'uretprobe',
      'pidfd_send_signal',
      'futex_waitv',
      'mseal',
    ]);
  });

  it('agrees with the numbers that replay acts on', () => {
    for (const [expected, number] of Object.entries(Sys)) expect(name(number)).toBe(expected);
  });

  it("names rr's calls relative to their base", () => {
    expect(name(1001)).toBe('rrcall_init_buffers');
    expect(syscallName(442 + 12, 442)).toBe('rrcall_rdtsc');
    expect(name(1013)).toBe('syscall_1013');
  });

  it('says the number of unknown calls', () => {
    expect([-1, 400, 463, 100000].map(name)).toEqual([
      'syscall_-1',
      'syscall_400',
      'syscall_463',
      'syscall_100000',
    ]);
  });
});
