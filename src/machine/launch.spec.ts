import { constants } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { DEFAULT_CPU, configure, machineCpu, poolSize } from './launch.js';

describe('machineCpu', () => {
  it('adds what the program in it needs', () => {
    expect(machineCpu(DEFAULT_CPU)).toBe(`${DEFAULT_CPU},+pdpe1gb`);
    expect(machineCpu('Haswell,-hle')).toBe('Haswell,-hle,+pdpe1gb');
  });

  it('keeps explicit settings', () => {
    expect(machineCpu('max,pdpe1gb=on')).toBe('max,pdpe1gb=on');
    expect(machineCpu('max,-pdpe1gb')).toBe('max,-pdpe1gb');
  });
});

describe('poolSize', () => {
  it('is a power of two, so that machines are interchangeable', () => {
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
