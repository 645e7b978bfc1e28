/** Conditions of scripts that are tested where the program runs. */
import type { Gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { PREDICATE_REGISTERS, type Predicate, type PredicateStep } from '../engine/base/predicate.js';
import { Reg } from '../engine/base/registers.js';

export type TestedRegister = (typeof PREDICATE_REGISTERS)[number];

const unsigned = (value: bigint | number, bytes: number): bigint => BigInt.asUintN(8 * bytes, BigInt(value));

/** All of these registers have these values. Throws E_USAGE for another register. */
export function registersAre(values: Readonly<Partial<Record<TestedRegister, bigint | number>>>): Predicate {
  const steps: PredicateStep[] = [{ op: 'constant', value: 0n }];
  for (const [name, value] of Object.entries(values)) {
    const known = PREDICATE_REGISTERS.find((each) => each === name);
    if (!known) throw new RevenantError('E_USAGE', `No register ${name}: ${PREDICATE_REGISTERS.join(', ')}.`);
    steps.push({ op: 'register', slot: Reg[known] }, { op: 'constant', value: unsigned(value, 8) });
    steps.push({ op: 'xor' }, { op: 'or' });
  }
  return [...steps, { op: 'not' }];
}

/** The integer there is this. Throws E_USAGE for another size than 1, 2, 4 or 8 bytes. */
export function memoryIs(address: Gva, length: number, value: bigint | number): Predicate {
  if (length !== 1 && length !== 2 && length !== 4 && length !== 8)
    throw new RevenantError('E_USAGE', `A value has 1, 2, 4 or 8 bytes, not ${length}.`);
  return [
    { op: 'constant', value: BigInt(address) },
    { op: 'load', size: length },
    { op: 'constant', value: unsigned(value, length) },
    { op: 'equal' },
  ];
}
