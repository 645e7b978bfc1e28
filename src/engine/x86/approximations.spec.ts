import { describe, expect, it } from 'vitest';
import { findApproximations } from './approximations.js';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.split(' '), (byte) => parseInt(byte, 16));
const CODE = '48 89 e5 41 57 48 83 ec 18 90 90 31 c0 48 8d 7c 24 08 0f 1f 00 48 89 c7 55 58';
const within = (middle: string): Uint8Array => bytesOf(`${CODE} ${middle} ${CODE}`);
const at = CODE.split(' ').length;

describe('approximations', () => {
  it.each([
    ['0f 52 c1', 'RSQRTPS'],
    ['f3 0f 52 c1', 'RSQRTSS'],
    ['f3 44 0f 53 c1', 'RCPSS xmm8'],
    ['c5 f8 53 c1', 'VRCPPS'],
    ['c4 c1 72 52 c1', 'VRSQRTSS with xmm9'],
  ])('%s is %s', (code) => {
    const bytes = within(code);
    expect(findApproximations(bytes, 0, bytes.length)).toEqual([at]);
  });

  it.each([
    ['0f 51 c1', 'SQRTPS'],
    ['b8 0f 52 c1 00', 'MOV of the same bytes'],
    ['52 53 0f 1f 00', 'PUSH'],
    ['66 0f 38 52 c1', 'VNNI’s neighbour'],
  ])('%s is none: %s', (code) => {
    const bytes = within(code);
    expect(findApproximations(bytes, 0, bytes.length)).toEqual([]);
  });
});
