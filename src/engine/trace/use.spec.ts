import path from 'node:path';
import { expect, it } from 'vitest';
import { TraceReader } from './reader.js';
import { traceUse, USE_BLOCK, type TraceUse } from './use.js';

function useOf(name: string): TraceUse {
  const reader = TraceReader.open(path.resolve(import.meta.dirname, '../../../traces', name));
  try {
    reader.advance();
    const use = traceUse(reader);
    expect(reader.frameTime).toBe(1);
    return use;
  } finally {
    reader.close();
  }
}

it("finds segments of the program's own", () => {
  expect(useOf('haswell/ldt')).toMatchObject({ ownSegments: { frameTime: 113, tid: 118 }, code32: null });
  expect(useOf('haswell/tracer')).toMatchObject({ ownSegments: null, code32: null });
});

it('knows where something was mapped', () => {
  const { mapped } = useOf('zen2/hello-static');
  const at = (address: number): number => mapped[Math.floor(address / USE_BLOCK)];
  expect(at(0x40_0000)).toBe(1);
  expect(at(0x2a00_0000_0000)).toBe(0);
  expect(mapped.reduce((sum, block) => sum + block, 0)).toBeLessThan(10);
});
