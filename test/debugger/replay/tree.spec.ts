import { describe, expect, it } from 'vitest';
import { available, debugOnce, sample } from './recording.js';

describe('tree, in gdb', () => {
  const traces = available('zen2/tree', 'haswell/tree');
  it.each(traces.length > 0 ? traces : [sample('skylake-pku/tree')])('%s', async (folder) => {
    const { said, text } = await debugOnce(folder, [], 'tree()');
    const { backtrace, key, returned, root, end } = said;
    const forward = said.forward as [number, number, number][];
    expect(backtrace, text).toMatch(/^#0 +insert \(n=0x0, key=key@entry=108\)[^]*\n#1 .* main \(\)/);
    expect(key).toBe(108);
    expect(returned).toBe(said.pointer);
    expect(root).toMatch(/= \{key = 108, left = 0x0, right = 0x0\}/);
    expect(forward.map(([i]) => i)).toEqual(Array.from({ length: 24 }, (_, i) => i));
    expect(end).toMatch(/exited normally here/);
    expect(end).toMatch(/keys 21 depth 10 sum 1431/);
  });
});
