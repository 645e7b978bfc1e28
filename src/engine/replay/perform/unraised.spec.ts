import { expect, it } from 'vitest';
import { Signal } from '../../base/linux.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import { WATCHED, type LeftOut } from '../../x86/unraised.js';
import type { ReplayContext } from './context.js';
import { Goal, type ReplayStep } from '../plan/step.js';
import { unraisedOf } from './unraised.js';

const DIVSD = [0xf2, 0x0f, 0x5e, 0xc1];
const FLTDIV = 3;

/** How #XM of this instruction may be left out by a machine that leaves these out. */
function unraised(leftOut: ReadonlySet<LeftOut>): string {
  const siginfo = new Uint8Array(128);
  new DataView(siginfo.buffer).setInt32(0, Signal.FPE, true);
  new DataView(siginfo.buffer).setInt32(8, FLTDIV, true);
  const context = { core: { machine: { leftOut } } } as unknown as ReplayContext;
  const read = (_: number, into: Uint8Array): number => (into.set(DIVSD), DIVSD.length);
  const step = { goal: Goal.fault, address: 0x40_1000, signal: Signal.FPE } as ReplayStep;
  const frame = { siginfo } as unknown as TraceFrame;
  return unraisedOf(context, { space: { read } } as unknown as Task, frame, step);
}

it('watches for an exception only on a machine that was seen to leave it out', () => {
  expect(unraised(WATCHED)).toBe('simd');
  expect(unraised(new Set(['mxcsr', 'clflush']))).toBe('none');
  expect(unraised(new Set())).toBe('none');
});
