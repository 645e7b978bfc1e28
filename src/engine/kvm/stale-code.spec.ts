import { expect, it } from 'vitest';
import { gpa } from '../base/address.js';
import { MachineArea, StaleCode } from './stale-code.js';

/** The list as the service sees it. */
function listOf(pool: ArrayBuffer): [number, number][] {
  const count = new Uint32Array(pool)[MachineArea.stale_count / 4];
  const ranges = new BigUint64Array(pool, MachineArea.stale, 2 * MachineArea.maxStale);
  return Array.from({ length: count }, (_, i) => [Number(ranges[2 * i]), Number(ranges[2 * i + 1])]);
}

function listed(...ranges: [number, number][]): [number, number][] {
  const pool = new ArrayBuffer(0x10000);
  const stale = new StaleCode(pool);
  for (const [at, length] of ranges) stale.add(gpa(at), length);
  return listOf(pool);
}

it('merges neighbours and duplicates', () => {
  const pages: [number, number][] = [0x50000, 0x51000, 0x51000, 0x52000].map((at) => [at, 0x1000]);
  expect(listed(...pages)).toEqual([[0x50000, 0x3000]]);
  expect(listed([0x50000, 0x1000], [0x50010, 8])).toEqual([[0x50000, 0x1000]]);
});

it('does not merge distant or preceding ranges', () => {
  const apart: [number, number][] = [
    [0x50000, 0x1000],
    [0x52000, 0x1000],
    [0x51000, 0x1000],
  ];
  expect(listed(...apart)).toEqual(apart);
});

it('refuses more than there is room for', () => {
  const stale = new StaleCode(new ArrayBuffer(0x10000));
  const add = (i: number): boolean => stale.add(gpa(0x100000 + i * 0x2000), 0x1000);
  const answers = Array.from({ length: MachineArea.maxStale + 1 }, (_, i) => add(i));
  expect(answers.indexOf(false)).toBe(MachineArea.maxStale);
});
