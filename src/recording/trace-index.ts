/** What is known about places of a recording without replaying it: read from the trace, without a machine. */
import { RevenantError } from '../engine/base/errors.js';
import { EventKind } from '../engine/trace/frame.js';
import type { TraceFrame } from '../engine/trace/frame.js';
import { printable } from '../engine/base/names.js';
import {
  birthOf,
  execOf,
  firstExec,
  frameWithin,
  jointEnd,
  lastExit,
  mappedFiles,
  type JointEnd,
} from '../engine/trace/landmarks.js';
import type { TraceReader } from '../engine/trace/reader.js';
import type { MMapRecord } from '../engine/trace/records.js';
import { frameOfTicks } from '../engine/trace/ticks.js';
import { frameLine } from './frame-text.js';

/** Reads the trace through separate readers (`open`), independent of the replay's position. */
export class TraceIndex {
  constructor(private readonly open: () => TraceReader) {}

  private scan<T>(visit: (reader: TraceReader) => T): T {
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

  /** As `firstExec`; throws E_USAGE if there is none. */
  requireProgram(): number {
    const first = this.firstExec();
    if (first !== null) return first;
    throw new RevenantError('E_USAGE', 'The recording has no program: it ends before the first exec.');
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
    if (last !== frame) throw noSuchFrame(frame, last);
  }

  /** The first frame whose signal ends a process (of `tid`, if given), and its task; or null. */
  firstFatalSignal(tid: number | null): { frameTime: number; tid: number } | null {
    return this.scan((reader) => {
      // A signal has two frames: where it was raised, and its delivery.
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

  /** The frame at which a task starts to exist, or null. */
  birthOf(tid: number): number | null {
    return this.scan((reader) => birthOf(reader, tid));
  }

  /** The frame at which a task ends, or 0. */
  exitOf(tid: number): number {
    return this.scan((reader) => lastExit(reader, tid));
  }

  /** See `execOf` of landmarks. */
  execOf(process: string): { frame: number; tid: number } | null {
    return this.scan((reader) => execOf(reader, process));
  }

  /** See `jointEnd` of landmarks. */
  jointEnd(frame: number): JointEnd {
    return this.scan((reader) => jointEnd(reader, frame));
  }

  /** See `frameOfTicks` of trace/ticks. */
  frameOfTicks(tid: number, now: number, ticks: number): number | null {
    return this.scan((reader) => frameOfTicks(reader, tid, now, ticks));
  }

  /** CLOCK_MONOTONIC of the recording, in seconds: at its beginning, and at a frame or the last before it. */
  seconds(frame: number): { readonly begin: number; readonly at: number } {
    return this.scan((reader) => {
      let [begin, at] = [0, 0];
      while (reader.frameTime < frame) {
        const next = reader.advance();
        if (!next) break;
        if (next.frameTime === 1) begin = next.monotonicSec;
        at = next.monotonicSec;
      }
      return { begin, at };
    });
  }

  /** Lines of `revenant dump` for these frames. */
  frameLines(from: number, to: number): string[] {
    return this.scan((reader) => {
      const lines: string[] = [];
      while (reader.frameTime < to) {
        const frame = reader.advance();
        if (!frame) break;
        if (frame.frameTime >= from) lines.push(printable(frameLine(frame, reader.header.rrcallBase)));
      }
      return lines;
    });
  }

  /** See `mappedFiles` of landmarks. */
  mappedFiles(): Map<string, MMapRecord> {
    return this.scan(mappedFiles);
  }
}

const FATAL = 0;
const isFatal = (frame: TraceFrame): boolean =>
  (frame.kind === EventKind.signal || frame.kind === EventKind.signalDelivery) && frame.disposition === FATAL;

/** @param last the recording's last frame, before the requested one */
export const noSuchFrame = (frame: number, last: number): RevenantError =>
  new RevenantError('E_USAGE', `There is no frame ${frame}: the recording ends with frame ${last}.`);
