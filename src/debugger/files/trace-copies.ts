import type { ByteSource } from '../../engine/mm/backing.js';
import type { TraceReader } from '../../engine/trace/reader.js';
import type { MMapRecord } from '../../engine/trace/records.js';
import { RecordedFiles } from './recorded.js';
import { openIfThere } from '../../recording/program-files.js';

/**
 * The trace's copies of mapped files by their recorded paths. Files of this machine are opened only if the trace was
 * opened as unpacked.
 * @param index read on the first request for a file that is not mapped at the moment
 */
export function recordedFiles(trace: TraceReader, index: () => Map<string, MMapRecord>): RecordedFiles {
  let known: Map<string, MMapRecord> | null = null;
  const files = (): Map<string, MMapRecord> => (known ??= index());
  const find = (path: string): ByteSource | null => {
    const record = files().get(path);
    return record ? openIfThere(trace, record) : null;
  };
  return new RecordedFiles(() => files().keys(), find);
}
