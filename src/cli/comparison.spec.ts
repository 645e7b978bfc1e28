import { describe, expect, it } from 'vitest';
import { Comparison } from './comparison.js';

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

  it('detects missing and excess output', () => {
    expect(problemOf('hello', 'hel')).toContain('at byte 3 (3 bytes, expected 5)');
    expect(problemOf('hello', 'hello', '!')).toContain('at byte 5 (6 bytes, expected 5)');
  });
});
