import { expect, it } from 'vitest';
import { EventKind } from './frame.js';
import { jointEnd } from './landmarks.js';
import type { TraceReader } from './reader.js';

const CLONE_THREAD = 0x10000;

/**
 * The frames of a synthetic recording: `100` a system call of task 100, `100 exit`, `100 thread 101`, `100 fork 200`.
 */
function readerOf(...lines: string[]): TraceReader {
  const frames = lines.map((line) => line.split(' '));
  let [at, told] = [0, 0];
  const reader = {
    advance() {
      const frame = frames.at(at);
      if (!frame) return null;
      at++;
      return {
        frameTime: at,
        tid: Number(frame[0]),
        kind: frame[1] === 'exit' ? EventKind.exit : EventKind.syscall,
      };
    },
    nextTaskEvent(frameTime: number) {
      if (told === frameTime) return null;
      told = frameTime;
      const [parent, what, child] = frames[frameTime - 1];
      if (child === undefined) return null;
      const flags = what === 'thread' ? CLONE_THREAD : 0;
      return { kind: 'clone', frameTime, tid: Number(child), parentTid: Number(parent), flags };
    },
  };
  return reader as unknown as TraceReader;
}

const born = ['100 thread 101', '101 thread 102', '100 fork 200', '200 thread 201'];

it.each([
  ['a process of one thread', ['100', '100 exit'], 2, 100],
  ['threads that end together', [...born, '100', '100 exit', '101 exit', '102 exit'], 6, 100],
  ['one that had exited', [...born, '101 exit', '102', '102 exit', '100 exit'], 7, 102],
  [
    'another process in between',
    [...born, '100', '101 exit', '200', '201 exit', '100 exit', '102 exit'],
    6,
    100,
  ],
  ['the end of a child before that', [...born, '201 exit', '200 exit', '101 exit', '100 exit'], 7, 100],
])('%s', (_name, frames, first, tid) => {
  expect(jointEnd(readerOf(...frames, '300', '300'), frames.length)).toEqual({ frame: first, tid });
});
