import { Sys } from '../base/linux.js';
import { CloneFlag } from '../base/linux.js';
import { Reg } from '../base/registers.js';
import type { DebugStop, LifecycleKind } from '../target.js';
import type { ReplayCore } from '../replay/state/core.js';
import { isExecExit } from '../replay/plan/plan.js';
import type { Task } from '../task/task.js';
import { EventKind, SyscallState, type TraceFrame } from '../trace/frame.js';

type SignalStop = Extract<DebugStop, { kind: 'signal' }>;

/** Events of a program that stop it, besides signals and exits. */
export class Catching {
  lifecycle: ReadonlySet<LifecycleKind> = new Set();
  syscalls: ReadonlySet<number> | 'all' | null = null;
  /** Signals that do not make it stop. */
  passed: ReadonlySet<number> = new Set();

  /** All of that, to be compared. */
  get points(): readonly unknown[] {
    const { lifecycle, syscalls, passed } = this;
    return [...lifecycle, '', ...(syscalls === 'all' ? [syscalls] : (syscalls ?? [])), '', ...passed];
  }

  catches(number: number): boolean {
    return this.syscalls === 'all' || (this.syscalls?.has(number) ?? false);
  }
}

/** The stop at a frame, or null. Task counters detect tasks that it created. */
export class FrameStops {
  private taskCount = 0;
  private exitReported = -1;

  constructor(
    private readonly core: ReplayCore,
    private readonly catching: Catching,
  ) {}

  /** The session jumped. */
  reset(): void {
    this.taskCount = this.core.taskCount;
    this.exitReported = -1;
  }

  /** Before the next frame: the exit of a thread group at it, or null. Its last task still exists. */
  before(): DebugStop | null {
    const { trace, tasks } = this.core;
    const frame = trace.peek(1);
    const task = frame?.kind === EventKind.exit ? tasks.get(frame.tid) : undefined;
    if (!frame || !task || task.group.tasks.size > 1 || trace.frameTime === this.exitReported) return null;
    this.exitReported = trace.frameTime;
    const { tid, group } = task;
    const record = trace.peekTaskEvent();
    const isLeaders =
      record?.kind === 'exit' && record.tid === group.tgid && record.frameTime === frame.frameTime;
    return { kind: 'exited', tid, pid: group.tgid, status: isLeaders ? record.exitStatus : group.status };
  }

  after(frame: TraceFrame, task: Task | null): DebugStop | null {
    const created = this.core.taskCount > this.taskCount;
    this.taskCount = this.core.taskCount;
    switch (frame.kind) {
      case EventKind.signal: {
        const stop = signalStop(frame);
        return stop && !this.catching.passed.has(stop.signal) ? stop : null;
      }
      case EventKind.syscall:
        return this.afterSyscall(frame, task, created);
      default:
        return null;
    }
  }

  private afterSyscall(frame: TraceFrame, task: Task | null, created: boolean): DebugStop | null {
    const { catching } = this;
    const { tid, syscallNumber: number } = frame;
    if (isExecExit(frame)) {
      const path = this.core.tasks.get(tid)?.group.program?.file ?? '';
      if (catching.lifecycle.has('exec')) return { kind: 'exec', tid, path };
    } else if (created && task) {
      const kind = cloneKind(frame);
      if (catching.lifecycle.has(kind)) return { kind, tid, child: this.youngest() };
    }
    if (!catching.catches(number) || frame.syscallState === SyscallState.enteringPtrace) return null;
    const state = frame.syscallState === SyscallState.exiting ? 'exiting' : 'entering';
    return { kind: 'syscall', tid, number, state };
  }

  private youngest(): number {
    let found: Task | null = null;
    for (const task of this.core.tasks.values()) if (!found || task.serial > found.serial) found = task;
    return found?.tid ?? 0;
  }
}

/** Whether a frame delivers a signal to the task without a handler. */
export const isDelivery = (frame: TraceFrame | null, tid: number): boolean =>
  frame?.kind === EventKind.signalDelivery && frame.tid === tid;

/** The stop that a frame makes if it is a signal, else null. */
export function signalStop({ kind, tid, siginfo: recorded }: TraceFrame): SignalStop | null {
  if (kind !== EventKind.signal) return null;
  const siginfo = recorded.slice();
  if (siginfo.length < 4) return { kind: 'signal', tid, signal: 0, siginfo: null };
  return { kind: 'signal', tid, signal: new DataView(siginfo.buffer).getInt32(0, true), siginfo };
}

function cloneKind(frame: TraceFrame): 'fork' | 'vfork' | 'clone' {
  if (frame.syscallNumber === Sys.vfork) return 'vfork';
  if (frame.syscallNumber !== Sys.clone) return 'fork';
  const flags = frame.registers[2 * Reg.rdi];
  if (flags & CloneFlag.vfork) return 'vfork';
  return flags & CloneFlag.thread ? 'clone' : 'fork';
}
