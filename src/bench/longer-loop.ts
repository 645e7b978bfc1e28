import fs from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { TraceReader } from '../engine/trace/reader.js';

const BLOCK_HEADER = 8;
const READ = 0;
/** Iterations of the sample trace. */
export const RECORDED_TURNS = 20_000;

/**
 * Copies the sample trace `haswell/loop` with another number of iterations: the eight bytes that its program once read
 * from standard input. Only the ticks after the read depend on them.
 */
export function copyWithTurns(trace: string, copy: string, turns: bigint): void {
  fs.cpSync(trace, copy, { recursive: true });
  const data = unpack(fs.readFileSync(path.join(trace, 'data')));
  new DataView(data.buffer, data.byteOffset).setBigUint64(offsetOfTurns(trace), turns, true);
  fs.writeFileSync(path.join(copy, 'data'), pack(data));
}

/** Offset in `data` of the result of the program's only read. */
function offsetOfTurns(trace: string): number {
  const reader = TraceReader.open(trace);
  try {
    for (let frame = reader.advance(); frame; frame = reader.advance()) {
      const write = frame.memWrites[0];
      if (frame.syscallNumber === READ && frame.memWriteCount === 1 && write.size === 8)
        return write.dataOffset;
    }
  } finally {
    reader.close();
  }
  throw new Error(`${trace} has no read of eight bytes`);
}

/** The blocks of a stream, decompressed (compressed size, size, Brotli: each block). */
function unpack(stream: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < stream.length;) {
    const size = stream.readUInt32LE(at);
    parts.push(brotliDecompressSync(stream.subarray(at + BLOCK_HEADER, at + BLOCK_HEADER + size)));
    at += BLOCK_HEADER + size;
  }
  return Buffer.concat(parts);
}

function pack(bytes: Buffer): Buffer {
  const compressed = brotliCompressSync(bytes);
  const header = Buffer.alloc(BLOCK_HEADER);
  header.writeUInt32LE(compressed.length, 0);
  header.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([header, compressed]);
}
