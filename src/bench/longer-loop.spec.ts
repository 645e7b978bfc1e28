import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { TraceReader } from '../engine/trace/reader.js';
import { copyWithTurns } from './longer-loop.js';

it('changes what the program read, and nothing else', () => {
  const trace = path.resolve(import.meta.dirname, '../../traces/haswell/loop');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-spec-'));
  const copy = path.join(folder, 'loop');
  copyWithTurns(trace, copy, 0x1234_5678_9abcn);
  const turns: bigint[] = [];
  for (const name of [trace, copy]) {
    const reader = TraceReader.open(name);
    for (let frame = reader.advance(); frame; frame = reader.advance()) {
      const write = frame.memWrites[0];
      if (frame.syscallNumber !== 0 || frame.memWriteCount !== 1 || write.size !== 8) continue;
      const bytes = new Uint8Array(8);
      reader.readWrite(write, 0, bytes);
      turns.push(new DataView(bytes.buffer).getBigUint64(0, true));
    }
    reader.close();
  }
  fs.rmSync(folder, { recursive: true });
  expect(turns).toEqual([20_000n, 0x1234_5678_9abcn]);
});
