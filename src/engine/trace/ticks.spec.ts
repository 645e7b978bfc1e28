import { expect, it } from 'vitest';
import { EventKind } from './frame.js';
import type { TraceReader } from './reader.js';
import { frameOfTicks, tickStart } from './ticks.js';

/** The frames of a synthetic recording: `100 7` task 100 at 7 ticks; a third word: exec, clone TID, sched, flush. */
function readerOf(...lines: string[]): TraceReader {
  const frames = lines.map((line) => line.split(' '));
  let [at, told] = [0, 0];
  const kinds: Record<string, number> = { sched: EventKind.sched, flush: EventKind.syscallbufFlush };
  const reader = {
    advance() {
      const frame = frames.at(at);
      if (!frame) return null;
      at++;
      return {
        frameTime: at,
        tid: Number(frame[0]),
        ticks: Number(frame[1]),
        kind: kinds[frame[2]] ?? EventKind.syscall,
      };
    },
    nextTaskEvent(frameTime: number) {
      if (told === frameTime) return null;
      told = frameTime;
      const [tid, , kind, child] = frames[frameTime - 1];
      return kind === 'exec' || kind === 'clone' ? { kind, frameTime, tid: Number(child ?? tid) } : null;
    },
  };
  return reader as unknown as TraceReader;
}

const PROGRAM = [
  '100 0 exec', // 1
  '100 10', // 2
  '100 10', // 3
  '100 20 clone 101', // 4
  '101 5', // 5
  '100 30 flush', // 6
  '100 35', // 7
  '101 9 sched', // 8
  '101 12', // 9
  '100 35 sched', // 10
  '100 40', // 11
];

it.each([
  ['the beginning', 1, { tid: 100, firm: 1, known: [1, 0], next: [2, 10] }],
  ['between two frames at one count', 2, { tid: 100, firm: 2, known: [2, 10], next: [3, 10] }],
  ['a thread that has not run yet', 4, { tid: 101, firm: 4, known: [4, 0], next: [5, 5] }],
  ['after another task', 5, { tid: 100, firm: 5, known: [4, 20], next: [7, 35] }],
  ['after a flush, whose ticks are not a position', 6, { tid: 100, firm: 6, known: [4, 20], next: [7, 35] }],
  ['after a reschedule that is ignored', 8, { tid: 101, firm: 7, known: [5, 5], next: [9, 12] }],
  ['after one that is not, and one that is', 10, { tid: 100, firm: 9, known: [7, 35], next: [11, 40] }],
])('%s', (_name, frame, { tid, firm, known, next }) => {
  expect(tickStart(readerOf(...PROGRAM), frame)).toEqual({
    tid,
    firm,
    known: { frame: known[0], ticks: known[1] },
    next: { frame: next[0], ticks: next[1] },
  });
});

it('no task runs after the last frame', () => {
  expect(tickStart(readerOf(...PROGRAM), 11)).toBeNull();
});

it.each([
  ['in an interval', 100, 3, 15, 3],
  ['after the last frame with this count', 100, 3, 10, 3],
  ['across another task', 100, 3, 32, 6],
  ['of another task, ahead', 101, 3, 11, 8],
  ['going back', 100, 9, 0, 1],
  ['never', 100, 3, 40, null],
])('the frame after which a task reaches a tick count: %s', (_name, tid, now, ticks, frame) => {
  expect(frameOfTicks(readerOf(...PROGRAM), tid, now, ticks)).toBe(frame);
});

it('restarts with each program', () => {
  const frames = ['100 0 exec', '100 50', '100 0 exec', '100 8', '100 60'];
  expect(frameOfTicks(readerOf(...frames), 100, 1, 7)).toBe(1);
  expect(frameOfTicks(readerOf(...frames), 100, 3, 7)).toBe(3);
});
