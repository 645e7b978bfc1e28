import { expect, it } from 'vitest';
import { gva } from '../../base/address.js';
import { StopPlan, piecesOf } from './stop-plan.js';

it('cuts ranges into what debug registers can watch', () => {
  const pieces = (address: number, length: number) =>
    piecesOf({ address: gva(address), length })?.map((piece) => [piece.address, piece.length]);
  expect(pieces(0x1000, 4)).toEqual([[0x1000, 4]]);
  expect(pieces(0x1001, 4)).toEqual([
    [0x1001, 1],
    [0x1002, 2],
    [0x1004, 1],
  ]);
  expect(pieces(0x1000, 32)).toHaveLength(4);
  expect(pieces(0x1000, 33)).toBeUndefined();
});

it('concerns one thread group', () => {
  const here = { pid: 1, address: gva(0x2345) };
  const plan = new StopPlan(
    1,
    [{ pid: null, address: gva(0x2001) }, here, { pid: 2, address: gva(0x2002) }],
    [{ pid: 2, address: gva(0x3000), length: 8, access: 'write' }],
  );
  expect([...plan.pagesBeyond(0)]).toEqual([[0x2000, [1, 0x345]]]);
  expect([...plan.pagesBeyond(1)]).toEqual([[0x2000, [0x345]]]);
  expect([...plan.pagesBeyond(2)]).toEqual([]);
  expect(plan.breakpoints.get(gva(0x2345))).toEqual([here]);
  expect(plan.watches).toEqual([]);
});

it('has breakpoints where they can stop', () => {
  const first = { pid: null, address: gva(0x2001) };
  const second = { pid: null, address: gva(0x2006) };
  const plan = new StopPlan(1, [first, second], [], () => gva(0x2006));
  expect(plan.addresses).toEqual([0x2006]);
  expect(plan.breakpoints.get(gva(0x2006))).toEqual([first, second]);
});
