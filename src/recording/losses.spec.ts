import { describe, expect, it } from 'vitest';
import { RevenantError } from '../engine/base/errors.js';
import { Losses, PrintedOnce } from './losses.js';

describe('the output of a replay that begins again', () => {
  it('comes out once, however it is cut into pieces', () => {
    let out = '';
    const printed = new PrintedOnce((fd, bytes) => (out += `${fd}${Buffer.from(bytes).toString()} `));
    const write = (fd: 1 | 2, text: string): void => printed.write(fd, Buffer.from(text));
    write(1, 'abc');
    write(2, 'x');
    printed.again();
    write(1, 'a');
    printed.again();
    write(1, 'ab');
    write(1, 'cde');
    write(2, 'x');
    write(2, 'y');
    expect(out).toBe('1abc 2x 1de 2y ');
  });
});

describe('losses of machines', () => {
  const lost = new RevenantError('E_MACHINE_LOST', 'The machine was lost.');

  it('are survived, but not indefinitely, nor repeatedly at one place', () => {
    const moving = new Losses();
    expect(Array.from({ length: 30 }, (_, frame) => moving.mayGoOn(lost, frame)).lastIndexOf(true)).toBe(18);
    const stuck = new Losses();
    expect([7, 7, 7].map((frame) => stuck.mayGoOn(lost, frame))).toEqual([true, true, false]);
  });

  it('include what another kind of machine can do, and no other failures', () => {
    const losses = new Losses();
    const elsewhere = new RevenantError('E_MACHINE_CANNOT', 'It cannot.', undefined, { elsewhere: true });
    expect(losses.mayGoOn(elsewhere, 2)).toBe(true);
    expect(losses.mayGoOn(new RevenantError('E_MACHINE_CANNOT', 'There is none.'), 3)).toBe(false);
    expect(losses.mayGoOn(new RevenantError('E_DIVERGED', 'It differs.'), 1)).toBe(false);
    expect(losses.mayGoOn(null, 1)).toBe(false);
  });
});
