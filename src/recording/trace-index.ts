/** What a recording says of its places before it is replayed: read front to back, without a machine. */
import { RevenantError } from '../engine/base/errors.js';
import { EventKind } from '../engine/trace/frame.js';
import type { TraceFrame } from '../engine/trace/frame.js';
import { firstExec, frameWithin, lastExit } from '../engine/trace/landmarks.js';
import type { TraceReader } from '../engine/trace/reader.js';

/** Reads a trace of its own: `open` each time, so that the replay's position does not matter. */
export class RecordingScan {
  constructor(private readonly open: () => TraceReader) {}

  protected scan<T>(visit: (reader: TraceReader) => T): T {
    const reader = this.open();
    try {
      return visit(reader);
    } finally {
      reader.close();
    }
  }

  /** The frame at which the first program begins, or null if none does. */
  firstExec(): number | null {
    return this.scan(firstExec);
  }

  /** The frame at which the last task of the recording ends, or 0 if none does. */
  lastExit(): number {
    return this.scan((reader) => lastExit(reader));
  }

  /** `frame`, or the recording's last frame if that comes before it. */
  frameWithin(frame: number): number {
    return this.scan((reader) => frameWithin(reader, frame));
  }

  /** Throws E_USAGE if the recording ends before a frame. */
  requireFrame(frame: number): void {
    const last = this.frameWithin(frame);
    if (last === frame) return;
    throw new RevenantError('E_USAGE', `There is no frame ${frame}: the recording ends with frame ${last}.`);
  }

  /** The first frame whose signal ends a process (of `tid`, if given), and its task; or null. */
  firstFatalSignal(tid: number | null): { frameTime: number; tid: number } | null {
    return this.scan((reader) => {
      // A signal has two frames: what raised it, where the program stood, and its delivery.
      let raised: { frameTime: number; tid: number } | null = null;
      for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
        if (tid !== null && frame.tid !== tid) continue;
        if (frame.kind === EventKind.signal) raised = { frameTime: frame.frameTime, tid: frame.tid };
        if (!isFatal(frame)) continue;
        return raised?.tid === frame.tid ? raised : { frameTime: frame.frameTime, tid: frame.tid };
      }
      return null;
    });
  }
}

const FATAL = 0;
const isFatal = (frame: TraceFrame): boolean =>
  (frame.kind === EventKind.signal || frame.kind === EventKind.signalDelivery) && frame.disposition === FATAL;
