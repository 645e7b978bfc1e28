/** What a checkpoint belongs to: a trace, as it was when the checkpoint was written, and a version of Revenant. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { TraceReader } from '../trace/reader.js';

export interface TraceIdentity {
  /** Hexadecimal. */
  readonly uuid: string;
  /** SHA-256 of what distinguishes traces: sizes, the beginnings and ends of streams, the processor. */
  readonly content: string;
}

const STREAMS = ['version', 'incomplete', 'events', 'data', 'mmaps', 'tasks'];
/** Read of each end of a stream; small ones are read whole. */
const END_BYTES = 1 << 16;

function addFile(hash: ReturnType<typeof createHash>, file: string): void {
  let fd: number;
  try {
    fd = fs.openSync(file, 'r');
  } catch {
    return;
  }
  try {
    const { size } = fs.fstatSync(fd);
    hash.update(`${path.basename(file)} ${size}\n`);
    const bytes = Buffer.alloc(Math.min(size, END_BYTES));
    for (const start of [0, Math.max(0, size - END_BYTES)])
      hash.update(bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, start)));
  } finally {
    fs.closeSync(fd);
  }
}

export function traceIdentity({ directory, header }: TraceReader): TraceIdentity {
  const hash = createHash('sha256');
  for (const name of STREAMS) addFile(hash, path.join(directory, name));
  // The header of another trace for one without: the processor is not in its files.
  hash.update(JSON.stringify([header.xcr0.toString(), header.cpuidRecords]));
  return { uuid: Buffer.from(header.uuid).toString('hex'), content: hash.digest('hex') };
}
