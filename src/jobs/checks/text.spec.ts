import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { StreamCapture } from '../../recording/stream-capture.js';
import { describeTest, streamOf, testStream, testValue } from './text.js';

describe('a test of an output', () => {
  it('is of the whole, byte for byte', () => {
    expect(testStream({ equals: 'hello\n' }, streamOf('hello\n'))).toBeNull();
    expect(testStream({ equals: 'hello\n' }, streamOf('hello'))).toMatchObject({
      message: 'differs at byte 5 (5 bytes, expected 6)',
    });
    const bytes = Buffer.from([0xff, 0, 0x80]);
    const capture = new StreamCapture();
    capture.add(bytes);
    expect(testStream({ bytes: bytes.toString('base64') }, capture.facts())).toBeNull();
  });

  it('is by digest where the text is large', () => {
    const large = 'x'.repeat(2 * 1024 ** 2);
    const digest = { bytes: large.length, sha256: createHash('sha256').update(large).digest('hex') };
    expect(testStream({ digest }, streamOf(large))).toBeNull();
    expect(testStream({ digest }, streamOf(`${large}y`))).toMatchObject({
      message: 'is not what is expected (2097153 bytes, expected 2097152)',
    });
    expect(testStream({ contains: 'y' }, streamOf(`${large}y`))?.message).toMatch(
      /in the first 1048576 bytes/,
    );
  });

  it('may ask for parts, all of which must be there', () => {
    expect(testStream({ contains: 'ell', matches: '^h.*\\n$' }, streamOf('hello\n'))).toBeNull();
    expect(testStream({ contains: 'ell', matches: '^o' }, streamOf('hello\n'))).toEqual({
      message: 'does not match the pattern',
      expected: '/^o/',
      found: 'hello\n',
    });
    expect(describeTest({ contains: 'a', matches: 'b' })).toBe('contains "a" and matches /b/');
  });

  it('shows long texts around the difference', () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
    const found = [...lines];
    found[900] = 'other';
    const wrong = testStream({ equals: lines.join('\n') }, streamOf(found.join('\n')))!;
    expect(wrong.expected).toMatch(/^\.\.\. line 89\d\n[^]*line 900\n/);
    expect(wrong.found).toMatch(/^\.\.\. line 89\d\n[^]*other\n/);
  });
});

describe('a test of a value', () => {
  it.each([
    ['55', '0x37', true],
    ['-1', '-1', true],
    ['1', 'true', true],
    ['abc', '"abc"', true],
    ['abc', 'abcd', false],
    ['55', '56', false],
    ['0x10', '16', true],
  ])('%s against %s: %s', (equals, value, same) => {
    expect(testValue({ equals }, value) === null).toBe(same);
  });

  it('may be a pattern', () => {
    expect(testValue({ matches: '^0x[0-9a-f]+$' }, '0x1234')).toBeNull();
    expect(testValue({ matches: '^0x' }, '12')).toMatchObject({ expected: '/^0x/', found: '12' });
  });
});
