import { describe, expect, it } from 'vitest';
import {
  Cr4,
  cpuidDifferences,
  cpuidEntries,
  cpuidRecords,
  cr4FromTrace,
  describeDifference,
  findEntry,
  umipAnswers,
} from './cpuid.js';
import type { CpuidRecord } from './cpuid.js';

const ANY = 0xffff_ffff;
const record = (eaxIn: number, ecxIn: number, eax = 0, ebx = 0, ecx = 0, edx = 0): CpuidRecord => ({
  eaxIn,
  ecxIn,
  eax,
  ebx,
  ecx,
  edx,
});

describe('cpuidEntries', () => {
  it('marks the index of leaves that depend on ECX as significant', () => {
    const entries = cpuidEntries([record(1, ANY, 7), record(4, 0, 1), record(4, 1, 2)]);
    expect(entries.map(({ function: leaf, index, flags }) => [leaf, index, flags])).toEqual([
      [1, 0, 0],
      [4, 0, 1],
      [4, 1, 1],
    ]);
  });

  it('lets the first of several matching records win, as rr does', () => {
    const entries = cpuidEntries([record(4, 0, 1), record(4, 0, 2), record(4, ANY, 3), record(4, 5, 4)]);
    expect(entries).toHaveLength(2);
    expect(findEntry(entries, 4, 0)?.eax).toBe(1);
    expect(findEntry(entries, 4, 5)?.eax).toBe(3);
  });

  it('refuses more results than a machine takes', () => {
    const records = Array.from({ length: 257 }, (_, i) => record(4, i));
    expect(() => cpuidEntries(records)).toThrow(/257 results of CPUID; a machine takes 256/);
  });

  it('is undone by cpuidRecords', () => {
    const records = [record(0, ANY, 0xd), record(0xd, 1, 2, 3, 4, 5)];
    expect(cpuidRecords(cpuidEntries(records))).toEqual(records);
  });
});

describe('cr4FromTrace', () => {
  const full = [record(1, ANY, 0, 0, 1 << 27), record(7, 0, 0, 1, (1 << 2) | (1 << 4))];

  it('takes OSXSAVE, FSGSBASE, PKE and UMIP from the recorded leaves', () => {
    expect(cr4FromTrace(full)).toBe(Cr4.TSD | Cr4.OSXSAVE | Cr4.FSGSBASE | Cr4.PKE | Cr4.UMIP);
    expect(cr4FromTrace([])).toBe(Cr4.TSD);
  });

  it('knows kernels that did not turn features on', () => {
    expect(cr4FromTrace(full, '5.8.0-1') & Cr4.FSGSBASE).toBe(0);
    expect(cr4FromTrace(full, '5.10.0-9-amd64') & Cr4.FSGSBASE).toBe(Cr4.FSGSBASE);
    expect(cr4FromTrace(full, '4.14.1') & Cr4.UMIP).toBe(0);
  });
});

describe('umipAnswers', () => {
  it.each([
    ['4.18.0-553.el8', 'nothing'],
    ['5.4.0-190-generic', 'tables'],
    ['5.9.16', 'tables'],
    ['5.10.0-9-amd64', 'all'],
    ['6.18.1', 'all'],
    ['', 'all'],
  ])('of Linux %s: %s', (release, answers) => {
    expect(umipAnswers(Cr4.UMIP, release)).toBe(answers);
    expect(umipAnswers(Cr4.TSD, release)).toBe('nothing');
  });
});

describe('cpuidDifferences', () => {
  it('names leaf, register and both values', () => {
    const wanted = cpuidEntries([record(0xd, 0, 0x207, 0xa88)]);
    const actual = cpuidEntries([record(0xd, 0, 0x207, 0x348)]);
    const differences = cpuidDifferences(wanted, actual);
    expect(differences.map(describeDifference)).toEqual(['CPUID 0xd.0 EBX is 0x348, recorded 0xa88']);
    expect(cpuidDifferences(wanted, wanted)).toEqual([]);
  });
});
