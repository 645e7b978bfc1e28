import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { streamFile } from '../../../test/trace/message-builder.js';
import { seeded } from '../../../test/trace/mutate.js';
import { BlockFile } from './chunk.js';
import type { MemWrite } from './frame.js';
import { RawData } from './raw-data.js';
import { FileSource } from './source.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'raw-data-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const stored = Uint8Array.from({ length: 20_000 }, (_, i) => 1 + ((i * 7) % 255));
const file = path.join(folder, 'data');
fs.writeFileSync(file, streamFile(stored, 700));
const open = (): RawData => new RawData(new BlockFile(FileSource.open(file), false));

function write(dataOffset: number, size: number, holes: number[] = []): MemWrite {
  const holeBytes = holes.reduce((sum, value, i) => sum + (i % 2) * value, 0);
  return {
    tid: 1,
    addressLow: 0,
    addressHigh: 0,
    size,
    sizeIsConservative: false,
    holes,
    holeBytes,
    dataOffset,
  };
}

/** What the write stores, the slow and obvious way. */
function image(of: MemWrite): Uint8Array {
  const all = new Uint8Array(of.size);
  let next = of.dataOffset;
  for (let at = 0; at < of.size; at++) {
    const inHole = of.holes.some((start, i) => i % 2 === 0 && at >= start && at < start + of.holes[i + 1]);
    if (!inHole) all[at] = stored[next++];
  }
  return all;
}

describe('reading a write', () => {
  it('reads across blocks', () => {
    const into = new Uint8Array(15_000);
    open().readWrite(write(300, 15_000), 0, into);
    expect(into).toEqual(stored.subarray(300, 15_300));
  });

  it('reads any piece in any order, holes as zeros', () => {
    const random = seeded(5);
    const data = open();
    const writes = [
      write(0, 4000, [0, 100, 1000, 500, 3999, 1]),
      write(2000, 5000, [700, 0, 700, 3000]),
      write(10, 300, [0, 300]),
      write(
        50,
        6000,
        Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 30 * i : 11)),
      ),
      write(9000, 2000),
    ];
    const images = writes.map(image);
    for (let n = 0; n < 3000; n++) {
      const at = random(writes.length);
      const from = random(writes[at].size + 1);
      const into = new Uint8Array(random(writes[at].size - from + 1)).fill(0xee);
      data.readWrite(writes[at], from, into);
      expect(into).toEqual(images[at].subarray(from, from + into.length));
    }
  });

  it('reads page by page without looking at every hole each time', () => {
    const holes = Array.from({ length: 400_000 }, (_, i) => (i % 2 === 0 ? 4096 * i : 4096));
    const sparse = write(0, 4096 * 400_000 + 100, holes);
    const data = open();
    const page = new Uint8Array(16);
    for (let i = 0; i < 200_000; i++) data.readWrite(sparse, 8192 * i, page);
    data.readWrite(sparse, 0, page);
    expect(page).toEqual(new Uint8Array(16));
  });

  it('returns the rest of a hole, in any order', () => {
    const data = open();
    const sparse = write(0, 2 ** 40, [0, 100, 1000, 0, 1000, 2 ** 39]);
    const places = [0, 99, 100, 999, 1000, 2 ** 38, 1000 + 2 ** 39, 50, 2 ** 40 - 1];
    const left = [100, 1, 0, 0, 2 ** 39, 1000 + 2 ** 39 - 2 ** 38, 0, 50, 0];
    expect(places.map((at) => data.holeAt(sparse, at))).toEqual(left);
    expect(data.holeAt(write(0, 4000), 0)).toBe(0);
  });

  it('refuses to read beyond the write, and what the stream does not have', () => {
    const data = open();
    expect(() => data.readWrite(write(0, 10), 5, new Uint8Array(6))).toThrow(
      expect.objectContaining({ code: 'E_INTERNAL' }),
    );
    expect(() => data.readWrite(write(19_990, 11), 0, new Uint8Array(11))).toThrow(
      /stream ends at byte 20000/,
    );
  });
});
