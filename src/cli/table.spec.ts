import { describe, expect, it } from 'vitest';
import { formatTable, hang, wrapText } from './table.js';

it('wraps between words, and leaves long words whole', () => {
  expect(wrapText('one two three', 7)).toEqual(['one two', 'three']);
  expect(wrapText('see /a/very/long/path now', 8)).toEqual(['see', '/a/very/long/path', 'now']);
  expect(wrapText('', 8)).toEqual(['']);
  expect(wrapText('as wide as it is', Infinity)).toEqual(['as wide as it is']);
});

it('indents what follows the first line', () => {
  expect(hang('  key   ', 'one two three', 16)).toBe('  key   one two\n        three');
});

describe('a table', () => {
  it('aligns columns, numbers at their right', () => {
    const rows = [
      ['frame', 'size', 'file'],
      ['7', '1 KiB', 'a'],
      ['1203', '23 MiB', 'b'],
    ];
    expect(formatTable(rows, { right: [0, 1] })).toBe(
      'frame    size  file\n    7   1 KiB  a\n 1203  23 MiB  b\n',
    );
  });

  it('wraps its last column into the width that there is', () => {
    const rows = [
      ['features', 'SSE3 PCLMULQDQ SSSE3 FMA CMPXCHG16B'],
      ['XCR0', '0x7'],
    ];
    expect(formatTable(rows, { width: 36 })).toBe(
      'features  SSE3 PCLMULQDQ SSSE3 FMA\n          CMPXCHG16B\nXCR0      0x7\n',
    );
    for (const line of formatTable(rows, { width: 80 }).split('\n')) expect(line.length).toBeLessThan(80);
  });

  it('puts it below where little is left', () => {
    const rows = [['a long first column', 'and a text that has no room beside it']];
    expect(formatTable(rows, { width: 40 })).toBe(
      'a long first column\n    and a text that has no room beside\n    it\n',
    );
  });
});
