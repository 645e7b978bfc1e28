import { expect, it } from 'vitest';
import { parsePlace } from './journey.js';

it('knows frames, symbols with offsets and hits, and both ends', () => {
  expect(parsePlace('120')).toEqual({ kind: 'frame', frame: 120 });
  expect(parsePlace('insert')).toEqual({ kind: 'symbol', name: 'insert', offset: 0, hit: 1 });
  expect(parsePlace('insert+0x10:3')).toEqual({ kind: 'symbol', name: 'insert', offset: 16, hit: 3 });
  expect(parsePlace('Tree::insert:2')).toMatchObject({ name: 'Tree::insert', hit: 2 });
  expect(parsePlace('exit')).toEqual({ kind: 'exit', of: 'first' });
  expect(parsePlace('end')).toEqual({ kind: 'exit', of: 'last' });
});

it.each(['', 'insert:0', 'insert+', '0x10', 'a b', '-1'])('refuses %j', (text) => {
  expect(() => parsePlace(text)).toThrow(/is no place/);
});
