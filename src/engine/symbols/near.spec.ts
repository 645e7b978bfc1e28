import { expect, it } from 'vitest';
import { nearMisses, nearText } from './near.js';

const names = ['insert', 'insert_node', 'tree_insert', 'inset', 'main', 'Print', 'printf', 'x', ''];

it('knows mistyped names, other cases and parts', () => {
  expect(nearMisses('isnert', names)).toEqual(['insert', 'inset']);
  expect(nearMisses('insert', ['tree_insert', 'insert_node', 'unlike'])).toEqual([
    'insert_node',
    'tree_insert',
  ]);
  expect(nearMisses('print', names)).toEqual(['Print', 'printf']);
  expect(nearMisses('maim', names)).toEqual(['main']);
  expect(nearMisses('nosuch', names)).toEqual([]);
  expect(
    nearMisses(
      'a',
      Array.from({ length: 9 }, (_, n) => `${n}`),
    ),
  ).toHaveLength(5);
});

it('says so', () => {
  expect([nearText([]), nearText(['a']), nearText(['a', 'b'])]).toEqual([
    '',
    'There is a.',
    'There are a, b.',
  ]);
});
