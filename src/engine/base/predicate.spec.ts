import { describe, expect, it } from 'vitest';
import type { Gva } from './address.js';
import { asBefore, evaluatePredicate, folded, type Predicate, type PredicateStep } from './predicate.js';
import { Reg } from './registers.js';

const constant = (value: bigint): PredicateStep => ({ op: 'constant', value });
const load: PredicateStep = { op: 'load', size: 4 };
const context = {
  register: (slot: number) => BigInt(slot),
  memory: (address: bigint) => address + 1n,
  earlier: (address: Gva) => BigInt(address) + 2n,
};

it('a predicate is computed of registers, of memory, and of memory as it was earlier', () => {
  const value = (...steps: PredicateStep[]): bigint => evaluatePredicate(steps, context);
  expect(value({ op: 'register', slot: Reg.rbx })).toBe(BigInt(Reg.rbx));
  expect(value(constant(8n), load)).toBe(9n);
  expect(value({ op: 'earlier', address: 8 as Gva, size: 4 })).toBe(10n);
  expect(value(constant(7n), constant(-3n), { op: 'lessSigned' })).toBe(0n);
  expect(value(constant(7n), constant(-3n), { op: 'lessUnsigned' })).toBe(1n);
  expect(value(constant(1n), { op: 'jump', to: 3, conditional: false }, { op: 'not' })).toBe(1n);
  expect(value(constant(1n), constant(2n), constant(3n), { op: 'rotate' }, { op: 'drop' })).toBe(1n);
  expect(() => value(constant(1n), constant(0n), { op: 'divideUnsigned' })).toThrow(RangeError);
});

describe('folded', () => {
  it('computes what follows from constants', () => {
    const address: Predicate = [
      ...[constant(0x1000n), constant(16n), { op: 'add' } as const, constant(0xecn)],
      ...[{ op: 'extend', bits: 8, signed: true } as const, { op: 'add' } as const, load],
    ];
    expect(folded(address)).toEqual([constant(0xffcn), load]);
  });

  it('leaves what has no value, and what may be jumped over', () => {
    const division: Predicate = [constant(1n), constant(0n), { op: 'divideSigned' }];
    expect(folded(division)).toEqual(division);
    const jumps: Predicate = [
      ...[
        constant(1n),
        constant(1n),
        { op: 'add' } as const,
        { op: 'jump', to: 6, conditional: true } as const,
      ],
      ...[
        constant(5n),
        { op: 'jump', to: 7, conditional: false } as const,
        constant(6n),
        { op: 'not' } as const,
      ],
    ];
    expect(folded(jumps)).toEqual([
      ...[constant(2n), { op: 'jump', to: 4, conditional: true }],
      ...[constant(5n), { op: 'jump', to: 5, conditional: false }, constant(6n), { op: 'not' }],
    ]);
    expect(evaluatePredicate(folded(jumps), context)).toBe(evaluatePredicate(jumps, context));
  });
});

describe('asBefore', () => {
  const watched = (...steps: PredicateStep[]) => asBefore(steps, 0x1000 as Gva, 0x1008);

  it('takes watched memory as it was, and other memory as it is', () => {
    const result = watched(constant(0x1004n), load, constant(0x2000n), load, { op: 'equal' });
    expect(result).toEqual([
      { op: 'earlier', address: 0x1004, size: 4 },
      { op: 'extend', bits: 64, signed: false },
      ...[constant(0x2000n), load, { op: 'equal' }],
    ]);
  });

  it('does not say what it cannot', () => {
    expect(watched({ op: 'register', slot: Reg.rax }, load)).toBeNull();
    expect(watched(constant(0x1006n), load)).toBeNull();
    expect(watched(constant(0xffen), load)).toBeNull();
  });
});
