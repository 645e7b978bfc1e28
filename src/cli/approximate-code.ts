import { RevenantError } from '../engine/base/errors.js';
import { TraceReader } from '../engine/trace/reader.js';
import type { MMapRecord } from '../engine/trace/records.js';
import { findApproximations } from '../engine/x86/approximations.js';
import { LEAD_BYTES } from '../engine/x86/instruction-sites.js';

/** A file of a trace with instructions whose results differ from processor to processor. */
export interface ApproximateCode {
  file: string;
  instructions: number;
}

const PROT_EXEC = 4;
const CHUNK = 1 << 20;

/**
 * The executable mappings of a trace that hold RSQRT or RCP instructions. Code generated at run
 * time and files that are not in the trace are not scanned. Each part of a file is scanned once,
 * however often it is mapped.
 */
export function approximateCode(folder: string): ApproximateCode[] {
  const reader = TraceReader.open(folder);
  const counts = new Map<string, number>();
  const seen = new Set<string>();
  try {
    for (let record = reader.peekMapping(); record; record = reader.peekMapping()) {
      reader.nextMapping(record.frameTime);
      if (!(record.prot & PROT_EXEC) || record.source.kind !== 'file') continue;
      const key = `${record.fsname} ${record.fileOffsetBytes} ${record.end - record.start}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const found = countIn(reader, record);
      if (found > 0) counts.set(record.fsname, (counts.get(record.fsname) ?? 0) + found);
    }
  } finally {
    reader.close();
  }
  return [...counts].map(([file, instructions]) => ({ file, instructions }));
}

function countIn(reader: TraceReader, record: MMapRecord): number {
  let count = 0;
  try {
    const source = reader.openBacking(record);
    const end = Math.min(source.size, record.fileOffsetBytes + record.end - record.start);
    for (let at = record.fileOffsetBytes; at < end; at += CHUNK) {
      const lead = Math.min(at - record.fileOffsetBytes, LEAD_BYTES);
      const bytes = new Uint8Array(lead + Math.min(CHUNK + 16, end - at));
      const size = source.read(at - lead, bytes);
      count += findApproximations(bytes.subarray(0, size), lead, Math.min(size, lead + CHUNK)).length;
    }
  } catch (error) {
    if (!(error instanceof RevenantError)) throw error; // a file of the recording machine that is not available
  }
  return count;
}

/** "libx.so has 12 RSQRT or RCP instructions". */
export const describeApproximate = ({ file, instructions }: ApproximateCode): string =>
  `${file} has ${instructions} RSQRT or RCP instruction${instructions === 1 ? '' : 's'}`;
