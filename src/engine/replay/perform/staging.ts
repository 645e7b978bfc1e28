import { invariant } from '../../base/errors.js';
import { Reg, getSigned, newRegisters } from '../../base/registers.js';
import { ContextRequest } from '../../kvm/layout.js';
import type { StagedCalls } from '../../kvm/staged-calls.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import { MAX_PEEK } from '../../trace/reader.js';
import type { ReplayCore } from '../state/core.js';
import type { FrameHistory } from '../report/history.js';
import type { ReplayContext } from './context.js';
import { Action, Goal, type ReplayStep } from '../plan/step.js';
import { isPlainCall } from '../syscalls/plain.js';
import { noteCall } from '../syscalls/facts/state.js';

/** Fewer are not worth the second exit at their end. */
const FEWEST = 2;

/**
 * Gives upcoming plain system calls to ring 0, which completes them without leaving the guest, and
 * catches up over those that the program made.
 */
export class Staging {
  private readonly calls: StagedCalls;
  private readonly before = newRegisters();
  private noticed = 0;
  /** Calls that the program made without leaving the guest, so far. */
  made = 0;

  constructor(private readonly core: ReplayCore) {
    this.calls = core.machine.staged;
  }

  get isActive(): boolean {
    return this.calls.staged > 0;
  }

  /** True if the program made all of them: it is stopped after the last. */
  get isComplete(): boolean {
    return this.calls.consumed === this.calls.staged;
  }

  /** Whether the program made a call since the last query. The guest may be running. */
  hasProgressed(): boolean {
    const { consumed } = this.calls;
    const progressed = consumed > this.noticed;
    this.noticed = consumed;
    return progressed;
  }

  /**
   * Stages calls from the current frame on, if it enters one and no listener needs each. @param
   * maxFrames how many frames may be replayed
   */
  stage(context: ReplayContext, task: Task, entry: TraceFrame, step: ReplayStep, maxFrames: number): void {
    if (step.goal !== Goal.syscall || step.action !== Action.enterSyscall || this.isActive) return;
    if (context.strategy.counts || context.listener || context.runner.stops || this.core.onWrite) return;
    const { trace } = this.core;
    const mappingAt = trace.peekMapping()?.frameTime ?? Infinity;
    const ahead = Math.min(maxFrames - 1, MAX_PEEK);
    this.noticed = 0;
    for (let k = 1; k <= ahead; k += 2) {
      const call = k === 1 ? entry : trace.peek(k - 1);
      const exit = call && trace.peek(k);
      if (!exit || exit.frameTime >= mappingAt || !isPlainCall(task, call, exit, this.core.notesFiles)) break;
      if (!this.add(call, exit)) break;
    }
    if (this.calls.staged < FEWEST) this.calls.clear();
  }

  private add(entry: TraceFrame, exit: TraceFrame): boolean {
    const { calls, before } = this;
    const { trace, header } = this.core;
    before.set(entry.registers);
    before[2 * Reg.rax] = entry.registers[2 * Reg.orig_rax];
    before[2 * Reg.rax + 1] = entry.registers[2 * Reg.orig_rax + 1];
    if (!calls.begin(before, exit.registers, header.clearFipFdp ? ContextRequest.clearFip : 0)) return false;
    for (let index = 0; index < exit.memWriteCount; index++) {
      const write = exit.memWrites[index];
      const into = calls.write(write.addressLow, write.addressHigh, write.size);
      if (!into) return false;
      trace.readWrite(write, 0, into);
    }
    calls.end();
    return true;
  }

  /**
   * Advances trace and statistics over the calls that the program has made; the others are dropped.
   * @returns the number of frames
   */
  follow(task: Task, history: FrameHistory): number {
    const { trace } = this.core;
    const { consumed } = this.calls;
    this.calls.clear();
    this.made += consumed;
    for (let half = 1; half < 2 * consumed; half++) {
      const frame = trace.advance();
      invariant(frame, 'staged calls have frames');
      history.push(frame);
      if (half % 2 === 1) this.note(task, frame);
    }
    return 2 * consumed;
  }

  /** What the exit of a call changes in our books. */
  private note(task: Task, exit: TraceFrame): void {
    const result = getSigned(exit.registers, Reg.rax);
    this.core.recordedSec = exit.monotonicSec;
    task.recTicks = task.ticks = exit.ticks;
    if (result >= 0) noteCall(task, exit.syscallNumber, exit.registers, result);
  }
}
