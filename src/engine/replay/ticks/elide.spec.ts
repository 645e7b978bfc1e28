import { describe, expect, it } from 'vitest';
import type { Task } from '../../task/task.js';
import { EventKind, TraceFrame } from '../../trace/frame.js';
import { isElidable } from './elide.js';

const frame = (changes: Partial<TraceFrame>): TraceFrame => Object.assign(new TraceFrame(), changes);
const sched = (changes: Partial<TraceFrame> = {}): TraceFrame =>
  frame({ kind: EventKind.sched, tid: 7, ...changes });
const task = { rseq: null } as unknown as Task;

describe('isElidable', () => {
  it('is a reschedule after which the same task goes on', () => {
    expect(isElidable(sched(), task, frame({ tid: 7 }))).toBe(true);
    expect(isElidable(sched(), task, frame({ tid: 8 }))).toBe(false);
    expect(isElidable(sched(), task, null)).toBe(false);
  });

  it('is none that changes memory, may abort a sequence or precedes a death', () => {
    const next = frame({ tid: 7 });
    expect(isElidable(sched({ memWriteCount: 1 }), task, next)).toBe(false);
    expect(isElidable(sched({ inSyscallbufSyscallHook: 1n }), task, next)).toBe(false);
    expect(isElidable(sched(), { rseq: { pointer: 0, signature: 0 } } as unknown as Task, next)).toBe(false);
  });

  it('is no signal', () => {
    expect(isElidable(frame({ kind: EventKind.signal, tid: 7 }), task, frame({ tid: 7 }))).toBe(false);
  });
});
