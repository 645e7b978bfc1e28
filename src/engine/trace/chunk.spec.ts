import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { streamFile } from '../../../test/trace/message-builder.js';
import { BlockFile } from './chunk.js';
import { FileSource } from './source.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'chunk-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

function blocksOf(bytes: Uint8Array, tolerant = false): BlockFile {
  const file = path.join(folder, 'events');
  fs.writeFileSync(file, bytes);
  return new BlockFile(FileSource.open(file), tolerant);
}

function contents(blocks: BlockFile): Buffer {
  const parts: Uint8Array[] = [];
  for (let i = 0; blocks.has(i); i++) parts.push(blocks.load(i));
  return Buffer.concat(parts);
}

const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

describe('a stream file', () => {
  it('is its blocks, one after the other', () => {
    const blocks = blocksOf(streamFile(bytes, 1000));
    expect(contents(blocks)).toEqual(bytes);
    expect(blocks.indexedEnd).toBe(5000);
    expect([0, 999, 1000, 4999].map((at) => blocks.find(at))).toEqual([0, 0, 1, 4]);
    expect([blocks.covers(5000), blocks.covers(5001)]).toEqual([true, false]);
  });

  it('has an index that grows', () => {
    const blocks = blocksOf(streamFile(bytes, 10));
    expect(contents(blocks)).toEqual(bytes);
    expect(blocks.find(4321)).toBe(432);
  });

  it('of no bytes is an empty stream', () => {
    const blocks = blocksOf(Buffer.alloc(0));
    expect(blocks.has(0)).toBe(false);
    expect(blocks.covers(0)).toBe(true);
  });

  it('has the compressed length first', () => {
    const sample = fs.readFileSync(
      path.resolve(import.meta.dirname, '../../../traces/zen2/hello-static/events'),
    );
    expect(sample.readUInt32LE(0)).toBe(sample.length - 8);
    expect(contents(blocksOf(sample)).length).toBe(sample.readUInt32LE(4));
  });

  it.each<[string, (file: Buffer) => Buffer, RegExp]>([
    [
      'cut inside a header',
      (file) => file.subarray(0, file.length - file.readUInt32LE(0) - 3),
      /ends inside/,
    ],
    [
      'cut inside a block',
      (file) => file.subarray(0, file.length - 1),
      /ends inside it \(\d+ of \d+ bytes\)/,
    ],
    [
      'with a block above 1 MiB',
      (file) => (file.writeUInt32LE((1 << 20) + 1, 4), file),
      /implausible lengths/,
    ],
    ['with an empty block', (file) => (file.writeUInt32LE(0, 4), file), /implausible lengths/],
    [
      'that declares too little',
      (file) => (file.writeUInt32LE(999, 4), file),
      /more than the 999 bytes that it declares/,
    ],
    [
      'that declares too much',
      (file) => (file.writeUInt32LE(1001, 4), file),
      /declares 1001 bytes and has 1000/,
    ],
    ['with rubbish in a block', (file) => (file.fill(0xff, 8, 40), file), /cannot decompress/],
  ])('%s is refused, naming file and offset', (_name, change, problem) => {
    const read = (): Buffer => contents(blocksOf(change(streamFile(bytes, 1000))));
    expect(read).toThrow(expect.objectContaining({ code: 'E_TRACE_CORRUPT' }));
    expect(read).toThrow(problem);
    expect(read).toThrow(/events: block at byte \d+/);
  });

  it('of a recorder that was killed ends before the cut', () => {
    const file = streamFile(bytes, 1000);
    expect(contents(blocksOf(file.subarray(0, file.length - 1), true))).toEqual(bytes.subarray(0, 4000));
    expect(contents(blocksOf(file.subarray(0, 5), true))).toHaveLength(0);
  });
});

describe('FileSource', () => {
  it('opens nothing but regular files, and does not hang on others', () => {
    expect(() => FileSource.open(folder)).toThrow(expect.objectContaining({ code: 'E_TRACE_CORRUPT' }));
    expect(() => FileSource.open('/dev/zero')).toThrow(/not a regular file/);
    expect(() => FileSource.open(path.join(folder, 'absent'))).toThrow(
      expect.objectContaining({ code: 'E_TRACE_MISSING' }),
    );
  });
});
