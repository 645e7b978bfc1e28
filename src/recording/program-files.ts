import { RevenantError } from '../engine/base/errors.js';
import type { BackingFile, TraceReader } from '../engine/trace/reader.js';
import type { MMapRecord } from '../engine/trace/records.js';
import type { RecordedFile } from './sysroot.js';

/** The trace's copies of programs and libraries, from which a debugger reads symbols. */
export function* programFiles(
  trace: TraceReader,
  index: ReadonlyMap<string, MMapRecord>,
): Generator<RecordedFile> {
  const magic = new Uint8Array(ELF_MAGIC.length);
  for (const [recorded, record] of index) {
    const copy = openIfThere(trace, record);
    if (copy?.read(0, magic) === ELF_MAGIC.length && ELF_MAGIC.equals(magic))
      yield { recorded, copy: copy.path };
  }
}

const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1');

/** A trace that was not packed may refer to a file that no longer exists here: then it has no symbols. */
export function openIfThere(trace: TraceReader, record: MMapRecord): BackingFile | null {
  try {
    return trace.openBacking(record);
  } catch (error) {
    if (error instanceof RevenantError) return null;
    throw error;
  }
}
