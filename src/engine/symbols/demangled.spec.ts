import { expect, it } from 'vitest';
import { DemangledNames, splitParameters } from './demangled.js';
import type { SymbolTable } from './symbol-table.js';

const DEMANGLED: Record<string, string> = {
  _Z1: 'checked(int)',
  _Z2: 'checked(char const*)',
  _Z3: 'shop::price(shop::Item const*)',
  _Z4: 'int larger<int>(int, int)',
  _Z5: 'double larger<double>(double, double)',
  _Z6: 'shop::Counter::get() const',
  _Z7: 'price(std::pair<int, int>, void (*)(int))',
  _Z8: 'checked(int) [clone .cold]',
  _Z9: 'app::tree::insert::h0123456789abcdef',
  _RNv: 'app[1a2b]::tree::remove',
  _Za: '(anonymous namespace)::hidden()',
  _Zb: 'Item::operator+(Item const&)',
};
const table = { names: () => ['main', ...Object.keys(DEMANGLED)].values() } as unknown as SymbolTable;
const names = new DemangledNames(table, (raw) => raw.map((name) => DEMANGLED[name] ?? name));

it.each<[string, string[]]>([
  ['checked', ['_Z1', '_Z2']],
  ['checked(int)', ['_Z1']],
  ['checked(const char *)', ['_Z2']],
  ['price', ['_Z7']],
  ['shop::price', ['_Z3']],
  ['Counter::get', ['_Z6']],
  ['get', ['_Z6']],
  ['larger', ['_Z4', '_Z5']],
  ['larger<int>', ['_Z4']],
  ['larger<int>(int,int)', ['_Z4']],
  ['app::tree::insert', ['_Z9']],
  ['tree::remove', ['_RNv']],
  ['(anonymous namespace)::hidden', ['_Za']],
  ['hidden', ['_Za']],
  ['Item::operator+', ['_Zb']],
  ['_Z3', ['_Z3']],
  ['main', []],
  ['rice', []],
])('%s', (text, raw) => {
  expect(names.find(text).map((found) => found.raw)).toEqual(raw);
});

it('returns types of parameters', () => {
  expect(names.find('price')[0].parameters).toEqual(['std::pair<int, int>', 'void (*)(int)']);
  expect(names.find('app::tree::insert')[0].parameters).toBeNull();
  expect(splitParameters('f() const')).toEqual({ name: 'f', parameters: [], rest: ' const' });
});
