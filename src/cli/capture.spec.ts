import { describe, expect, it } from 'vitest';
import { Capture, Comparison } from './capture.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('Comparison', () => {
  const problemOf = (expected: string, ...chunks: string[]): string | null => {
    const comparison = new Comparison(bytes(expected));
    for (const chunk of chunks) comparison.add(bytes(chunk));
    return comparison.problem();
  };

  it('takes the expected bytes in any pieces', () => {
    expect(problemOf('hello\n', 'he', '', 'llo\n')).toBeNull();
    expect(problemOf('')).toBeNull();
  });

  it('names the first different byte', () => {
    expect(problemOf('hello', 'he', 'lxo')).toBe('output differs at byte 3 (5 bytes, expected 5)');
  });

  it('sees what is missing and what is too much', () => {
    expect(problemOf('hello', 'hel')).toContain('at byte 3 (3 bytes, expected 5)');
    expect(problemOf('hello', 'hello', '!')).toContain('at byte 5 (6 bytes, expected 5)');
  });
});

describe('Capture', () => {
  it('keeps the first MiB and the size and digest of all', () => {
    const capture = new Capture();
    for (let chunk = 0; chunk < 3; chunk++) capture.add(new Uint8Array(700_000));
    const document = capture.document();
    expect(document.bytes).toBe(2_100_000);
    expect(Buffer.from(document.base64, 'base64')).toHaveLength(1024 ** 2);
    expect(document.truncated).toBe(true);
    expect(document.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});
