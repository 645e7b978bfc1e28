import { expect, it } from 'vitest';
import { formatPlace, parsePlace, requirePlace } from './place.js';

const symbol = (name: string, hit = 1, offset = 0) => ({ kind: 'symbol', name, offset, hit });
const line = (file: string, number: number, hit = 1) => ({ kind: 'line', file, line: number, hit });

it.each<[string, object]>([
  ['120', { kind: 'frame', frame: 120 }],
  ['exit', { kind: 'exit', of: 'first' }],
  ['end', { kind: 'exit', of: 'last' }],
  ['crash', { kind: 'crash' }],
  ['insert', symbol('insert')],
  ['insert:3', symbol('insert', 3)],
  ['insert+0x10', symbol('insert', 1, 16)],
  ['insert+16:3', symbol('insert', 3, 16)],
  ['main.add:2', symbol('main.add', 2)],
  ['main.(*List).Push', symbol('main.(*List).Push')],
  ['insert.cold:2', symbol('insert.cold', 2)],
  ['Tree::insert:2', symbol('Tree::insert', 2)],
  ['shop::inner::depth', symbol('shop::inner::depth')],
  ['Tree::~Tree', symbol('Tree::~Tree')],
  ['checked(int)', symbol('checked(int)')],
  ['checked(char const*):2', symbol('checked(char const*)', 2)],
  ['checked(int)+4:2', symbol('checked(int)', 2, 4)],
  ['shop::Counter::get() const', symbol('shop::Counter::get() const')],
  ['larger<int>(int, int)', symbol('larger<int>(int, int)')],
  ['Item::operator+', symbol('Item::operator+')],
  ['(anonymous namespace)::f:2', symbol('(anonymous namespace)::f', 2)],
  ['<str as Display>::fmt', symbol('<str as Display>::fmt')],
  ['tree.c:65', line('tree.c', 65)],
  ['tree.c:65:2', line('tree.c', 65, 2)],
  ['src/tree.c:65', line('src/tree.c', 65)],
  ['/a/b/Makefile:3', line('/a/b/Makefile', 3)],
  ['my file.cpp:1', line('my file.cpp', 1)],
  ['grammar:7:1', line('grammar', 7)],
  ['0x401136', { kind: 'address', address: 0x401136n, hit: 1 }],
  ['120:8832', { kind: 'ticks', frame: 120, ticks: 8832 }],
  ['120:0x401136', { kind: 'address', address: 0x401136n, hit: 1, from: 120 }],
  ['120:0x401136:5', { kind: 'address', address: 0x401136n, hit: 5, from: 120 }],
  ['120:insert', { ...symbol('insert'), from: 120 }],
  ['120:insert+0x10:3', { ...symbol('insert', 3, 16), from: 120 }],
  ['120:tree.c:65:2', { ...line('tree.c', 65, 2), from: 120 }],
  ['0x401136:5', { kind: 'address', address: 0x401136n, hit: 5 }],
])('%s', (text, place) => {
  expect(parsePlace(text)).toEqual(place);
  expect(parsePlace(formatPlace(parsePlace(text)!))).toEqual(place);
});

it.each([
  '',
  'insert:0',
  'insert+',
  'a b',
  '-1',
  'tree.c:0',
  'tree.c:5:0',
  'f(int',
  'f)(',
  'a::',
  '5x',
  'f\ng',
  ':3',
  '120:',
  '120:5x',
  '120:exit:0',
  '1:2:3',
])('refuses %j', (text) => {
  expect(parsePlace(text)).toBeNull();
  expect(() => requirePlace(text, '--at')).toThrow(/^Invalid --at value '.*'\./s);
});
