import { constants } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { DEFAULT_CPU, configure, machineCpu, poolSize } from './launch.js';

describe('machineCpu', () => {
  it('adds what KVM needs', () => {
    expect(machineCpu('EPYC-Rome')).toBe('EPYC-Rome,+svm,+npt');
    expect(machineCpu('Haswell,-hle')).toBe('Haswell,-hle,+svm,+npt,vendor=AuthenticAMD');
  });

  it('keeps explicit settings', () => {
    expect(machineCpu(DEFAULT_CPU)).toBe(DEFAULT_CPU);
    expect(machineCpu('max,svm=on,-npt,vendor=HygonGenuine')).toBe('max,svm=on,-npt,vendor=HygonGenuine');
  });
});

describe('poolSize', () => {
  it('is a power of two, as a PCI device needs it', () => {
    expect([1, 64, 65, 1000, 4096].map(poolSize)).toEqual([64, 64, 128, 1024, 4096]);
  });
});

describe('more memory than an array can hold', () => {
  it('is refused before anything is started', () => {
    const most = constants.MAX_LENGTH / 2 ** 20;
    expect(poolSize(Math.min(most, 4096))).toBe(4096);
    expect(() => poolSize(most * 2)).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
  });
});

describe('configure', () => {
  it('refuses processor names that could be options', () => {
    for (const cpu of ['-m', '', 'a b', 'EPYC;x', '/x']) {
      expect(() => configure({ cpu })).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
    }
  });
});
