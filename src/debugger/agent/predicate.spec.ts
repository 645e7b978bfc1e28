import { expect, it } from 'vitest';
import { Reg } from '../../engine/base/registers.js';
import { predicateOf } from './predicate.js';

const END = 0x27;
const slotOf = (number: number): number => (number === 7 ? Reg.rsp : -1);
const predicate = (...code: number[]) => predicateOf(Uint8Array.from(code), slotOf);

it('an agent expression becomes a predicate', () => {
  // *(int *) ($rsp + 8) == 300
  expect(predicate(0x26, 0, 7, 0x22, 8, 0x02, 0x19, 0x16, 32, 0x23, 0x01, 0x2c, 0x13, END)).toEqual([
    { op: 'register', slot: Reg.rsp },
    { op: 'constant', value: 8n },
    { op: 'add' },
    { op: 'load', size: 4 },
    { op: 'extend', bits: 32, signed: true },
    { op: 'constant', value: 300n },
    { op: 'equal' },
  ]);
});

it('jumps lead to steps, and an end in the middle to the last one', () => {
  const jump = (to: number, conditional: boolean) => ({ op: 'jump', to, conditional });
  expect(predicate(0x22, 1, 0x20, 0, 8, 0x22, 2, END, 0x22, 3, END)).toEqual([
    { op: 'constant', value: 1n },
    jump(4, true),
    { op: 'constant', value: 2n },
    jump(5, false),
    { op: 'constant', value: 3n },
  ]);
});

it('what is damaged, may not end, or asks for something else is none', () => {
  for (const code of [
    [],
    [END],
    [0x02, END],
    [0x22, 1],
    [0x23, 1],
    [0x26, 0, 8, END], // no general register
    [0x0c, END], // trace
    [0x22, 1, 0x21, 0, 2], // backwards
    [0x22, 1, 0x21, 0, 0, END],
    [0x22, 1, 0x20, 0, 1, 0x22, 1, END], // into an operand
    [0x22, 1, 0x20, 0, 7, 0x22, 1, END], // two heights
  ])
    expect(predicate(...code), code.join()).toBeNull();
});
