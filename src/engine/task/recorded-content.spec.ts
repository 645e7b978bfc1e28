import { describe, expect, it } from 'vitest';
import { RecordedContent } from './recorded-content.js';

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));
const bytesOf = (content: RecordedContent, from: number, size: number): string => {
  const into = new Uint8Array(size);
  content.read(from, into);
  return Buffer.from(into).toString('latin1');
};

describe('RecordedContent', () => {
  it('is known as a whole from when it was empty', () => {
    const content = new RecordedContent();
    content.clear();
    content.write(0, text('first'));
    content.write(4094, text('over a page'));
    expect([content.size, content.isKnown]).toEqual([4105, true]);
    expect(bytesOf(content, 4092, 13)).toBe('\0\0over a page');
    content.truncate(3);
    content.truncate(6);
    expect([content.size, bytesOf(content, 0, 6)]).toEqual([6, 'fir\0\0\0']);
  });

  it('has the bytes that were read and written of a pre-existing file', () => {
    const content = new RecordedContent();
    content.size = 10;
    content.saw(0, text('abcd'));
    expect([content.run(0, 10), content.run(4, 6), content.isKnown]).toEqual([
      { isKnown: true, length: 4 },
      { isKnown: false, length: 6 },
      false,
    ]);
    content.write(6, text('wxyz'));
    expect(content.run(4, 6)).toEqual({ isKnown: false, length: 2 });
    content.saw(4, text('ef'));
    expect([content.isKnown, bytesOf(content, 0, 10)]).toEqual([true, 'abcdefwxyz']);
  });

  it('has copies that do not change with it', () => {
    const content = new RecordedContent();
    content.clear();
    content.write(0, text('one'));
    const copy = content.copy();
    content.write(0, text('two'));
    expect([bytesOf(copy, 0, 3), bytesOf(content, 0, 3)]).toEqual(['one', 'two']);
  });
});
