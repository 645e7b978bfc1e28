import { expect, it } from 'vitest';
import { countText, durationText, elapsedText, paceText, rateText, sizeText } from './quantities.js';

it.each([
  [0, '0 s'],
  [4e-7, '0.4 us'],
  [467e-6, '467 us'],
  [0.000_999_4, '999 us'],
  [0.000_999_6, '1 ms'],
  [0.004_56, '4.6 ms'],
  [0.009_94, '9.9 ms'],
  [0.009_96, '10 ms'],
  [0.228_455, '228 ms'],
  [0.999_4, '999 ms'],
  [0.999_6, '1 s'],
  [1.04, '1 s'],
  [1.26, '1.3 s'],
  [9.94, '9.9 s'],
  [9.96, '10 s'],
  [59.4, '59 s'],
  [59.6, '1 min'],
  [60, '1 min'],
  [119.6, '2 min'],
  [185, '3 min 5 s'],
  [3599.4, '59 min 59 s'],
  [3599.6, '1 h'],
  [7380, '2 h 3 min'],
  [86_399, '1 d'],
  [273_600, '3 d 4 h'],
])('%d seconds are %s', (seconds, text) => expect(durationText(seconds)).toBe(text));

it.each([
  [0, '0 s'],
  [0.4, '0 s'],
  [7.5, '8 s'],
  [59.6, '1 min'],
  [61, '1 min 1 s'],
])('%d seconds, while they pass, are %s', (seconds, text) => expect(elapsedText(seconds)).toBe(text));

it.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '1 KiB'],
  [1536, '1.5 KiB'],
  [10_000, '9.8 KiB'],
  [10_200, '10 KiB'],
  [999.4 * 1024, '999 KiB'],
  [1023.9 * 1024, '1 MiB'],
  [23 * 2 ** 20, '23 MiB'],
  [4 * 2 ** 30, '4 GiB'],
  [5000 * 2 ** 40, '5000 TiB'],
])('%d bytes are %s', (bytes, text) => expect(sizeText(bytes)).toBe(text));

it('says how fast something was', () => {
  expect(paceText(0.228_455, 1, 'frame')).toBe('228 ms a frame');
  expect(paceText(1, 0, 'frame')).toBe('');
  expect(rateText(50, 2)).toBe('25/s');
  expect(rateText(999_600, 1)).toBe('1 million/s');
  expect(rateText(1234, 1)).toBe('1.2 thousand/s');
  expect(rateText(5, 0)).toBe('0/s');
  expect([countText(1, 'frame'), countText(0, 'frame')]).toEqual(['1 frame', '0 frames']);
});
