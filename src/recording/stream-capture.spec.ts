import { describe, expect, it } from 'vitest';
import { StreamCapture } from './stream-capture.js';

describe('StreamCapture', () => {
  it('keeps the first MiB and the size and digest of all', () => {
    const capture = new StreamCapture();
    for (let chunk = 0; chunk < 3; chunk++) capture.add(new Uint8Array(700_000));
    const facts = capture.facts();
    expect(facts.bytes).toBe(2_100_000);
    expect(Buffer.from(facts.base64, 'base64')).toHaveLength(1024 ** 2);
    expect(facts.truncated).toBe(true);
    expect(facts.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});
