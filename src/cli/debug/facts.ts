/** What debugging needs to know of a trace before it runs: read once, front to back, without a machine. */
import { RecordingScan } from '../../recording/trace-index.js';
import {
  birthOf,
  execOf,
  jointEnd,
  lastExit,
  mappedFiles,
  type JointEnd,
} from '../../engine/trace/landmarks.js';
import { frameOfTicks } from '../../engine/trace/ticks.js';
import type { MMapRecord } from '../../engine/trace/records.js';
import { frameLine } from '../frame-text.js';
import { printable } from '../printable.js';

/** Reads a trace of its own: `open` each time, so that the replay's position does not matter. */
export class TraceScan extends RecordingScan {
  /** The frame at which a task begins to exist, or null. */
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

  /** CLOCK_MONOTONIC of the recording, in seconds: when it began, and at a frame or the last before it. */
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
