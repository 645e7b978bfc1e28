import type { ByteSource, FileBacking } from '../mm/backing.js';
import { RevenantError } from '../base/errors.js';
import type { ReplayCore } from '../replay/state/core.js';
import type { MMapRecord } from '../trace/records.js';
import { damaged } from './shape.js';

/** Names of captured data in traces. */
const CLONED_DATA = /^cloned_data_\d{1,10}_\d{1,10}$/;

/**
 * The backing files of a trace's mappings, up to a frame: files of a checkpoint must be among them,
 * so that it opens nothing that a replay would not have opened.
 */
export class TraceFiles {
  private readonly byName = new Map<string, MMapRecord>();
  private readonly byPath = new Map<string, MMapRecord>();

  constructor(private readonly core: ReplayCore) {}

  /** The reader's position is restored. Errors: E_TRACE_CORRUPT. */
  readTo(frameTime: number): void {
    const { trace } = this.core;
    const here = trace.save();
    try {
      trace.restore(trace.beginning);
      for (;;) {
        const next = trace.peekMapping();
        if (!next || next.frameTime > frameTime || !trace.nextMapping(next.frameTime)) return;
        if (next.source.kind !== 'file') continue;
        this.byName.set(next.source.backingFileName, next);
        this.byPath.set(next.fsname, next);
      }
    } finally {
      trace.restore(here);
    }
  }

  backing(name: string): FileBacking {
    const record = this.byName.get(name);
    return record ? this.core.fileOf(record) : damaged('it names a file that the trace does not map');
  }

  /** A mapped file can provide symbols. */
  register(path: string): void {
    const record = this.byPath.get(path);
    if (!record || this.core.recordedFile(path)) return;
    try {
      this.core.fileOf(record);
    } catch (error) {
      // A missing file only means no symbols, as in the replay itself.
      if (!(error instanceof RevenantError)) throw error;
    }
  }

  auxiliary(name: string): ByteSource {
    const source = CLONED_DATA.test(name) ? this.core.trace.openAuxiliary(name) : null;
    return source ?? damaged('it names captured data that the trace does not have');
  }
}
