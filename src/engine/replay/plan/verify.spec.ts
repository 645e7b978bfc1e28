import { describe, expect, it } from 'vitest';
import { Reg, newRegisters, setRegister, setSigned } from '../../base/registers.js';
import { differingRegisters, registersMatch, stateMatches, trapMatches } from './verify.js';

function pair() {
  const recorded = newRegisters();
  for (let slot = 0; slot < 27; slot++) setRegister(recorded, slot, BigInt(slot) * 0x1_0203_0405n);
  return { recorded, found: recorded.slice() };
}

describe('registersMatch', () => {
  it.each(['rax', 'r15', 'rip', 'fs_base', 'gs_base'] as const)(
    'sees a difference in either half of %s',
    (name) => {
      for (const half of [0, 1]) {
        const { recorded, found } = pair();
        found[2 * Reg[name] + half] ^= 0x8000;
        expect(registersMatch(recorded, found)).toBe(false);
        expect(differingRegisters(recorded, found)).toEqual([name]);
      }
    },
  );

  it.each(['rsp', 'eflags', 'cs', 'ss', 'ds', 'es'] as const)(
    'does not compare %s, as rr does not',
    (name) => {
      const { recorded, found } = pair();
      found[2 * Reg[name]] ^= 1;
      expect(registersMatch(recorded, found)).toBe(true);
    },
  );

  it('compares the low 32 bits of fs and gs only', () => {
    const { recorded, found } = pair();
    found[2 * Reg.fs + 1] ^= 1;
    expect(registersMatch(recorded, found)).toBe(true);
    found[2 * Reg.gs] ^= 1;
    expect(differingRegisters(recorded, found)).toEqual(['gs']);
  });

  it('compares orig_rax only if both are not negative', () => {
    const { recorded, found } = pair();
    setSigned(recorded, Reg.orig_rax, -1);
    setSigned(found, Reg.orig_rax, -514);
    expect(registersMatch(recorded, found)).toBe(true);
    setSigned(recorded, Reg.orig_rax, 1);
    expect(registersMatch(recorded, found)).toBe(true);
    setSigned(found, Reg.orig_rax, 2);
    expect(differingRegisters(recorded, found)).toEqual(['orig_rax']);
  });
});

describe('trapMatches', () => {
  it.each(['rax', 'rbx', 'rcx', 'rdx', 'rip'] as const)('expects %s to change', (name) => {
    const { recorded, found } = pair();
    found[2 * Reg[name]] ^= 1;
    expect(trapMatches(recorded, found)).toBe(true);
  });

  it.each(['rsi', 'r15', 'rbp', 'fs_base'] as const)('sees a difference in %s', (name) => {
    const { recorded, found } = pair();
    found[2 * Reg[name]] ^= 1;
    expect(trapMatches(recorded, found)).toBe(false);
  });
});

describe('stateMatches', () => {
  it('takes the stack pointer as evidence too', () => {
    const { recorded, found } = pair();
    expect(stateMatches(recorded, found)).toBe(true);
    found[2 * Reg.rsp] ^= 8;
    expect(stateMatches(recorded, found)).toBe(false);
  });
});
