import { EventKind, SyscallState, type TraceFrame } from '../../trace/frame.js';

const DEPTH = 16;

/** An earlier frame in a report. */
export interface FrameSummary {
  frameTime: number;
  tid: number;
  ticks: number;
  event: string;
}

/** The last frames, kept as numbers: nothing is allocated per frame. */
export class FrameHistory {
  private readonly times = new Float64Array(DEPTH);
  private readonly tids = new Int32Array(DEPTH);
  private readonly ticks = new Float64Array(DEPTH);
  private readonly kinds = new Int32Array(DEPTH);
  private readonly numbers = new Int32Array(DEPTH);
  private readonly states = new Int32Array(DEPTH);
  private count = 0;

  push(frame: TraceFrame): void {
    const slot = this.count++ % DEPTH;
    this.times[slot] = frame.frameTime;
    this.tids[slot] = frame.tid;
    this.ticks[slot] = frame.ticks;
    this.kinds[slot] = frame.kind;
    this.numbers[slot] = frame.syscallNumber;
    this.states[slot] = frame.syscallState;
  }

  /** Drops the frames from `frameTime` on: the replay went back. */
  rewind(frameTime: number): void {
    while (this.count > 0 && this.times[(this.count - 1) % DEPTH] >= frameTime) this.count--;
  }

  /** Oldest first, the current frame last. */
  list(describe: (kind: EventKind, syscallNumber: number, state: number) => string): FrameSummary[] {
    const result: FrameSummary[] = [];
    for (let n = Math.max(0, this.count - DEPTH); n < this.count; n++) {
      const slot = n % DEPTH;
      result.push({
        frameTime: this.times[slot],
        tid: this.tids[slot],
        ticks: this.ticks[slot],
        event: describe(this.kinds[slot] as EventKind, this.numbers[slot], this.states[slot]),
      });
    }
    return result;
  }
}

const KIND_NAMES = new Map<number, string>(Object.entries(EventKind).map(([name, kind]) => [kind, name]));

/** The event with rr's names: `openat entering`, `instructionTrap`. */
export function describeEvent(
  kind: EventKind,
  syscallNumber: number,
  state: number,
  syscallName: (number: number) => string,
): string {
  if (kind !== EventKind.syscall) return KIND_NAMES.get(kind) ?? `event ${kind}`;
  const phase =
    state === SyscallState.exiting
      ? 'exiting'
      : state === SyscallState.entering
        ? 'entering'
        : 'entering (ptrace)';
  return `${syscallName(syscallNumber)} ${phase}`;
}
