import { gva, type Gva } from '../../engine/base/address.js';
import type { SignalActions } from '../../engine/task/signal-state.js';
import type { Program, Task } from '../../engine/task/task.js';
import type { Descriptors } from '../files/descriptors.js';
import { PendingSignals } from './pending.js';

/** What a thread waits for. */
export interface Wait {
  /** The call's result once there is one; may throw Errno. */
  readonly poll: () => number | null;
  /** In nanoseconds of the diversion's monotonic clock; then `timedOut` is the result. */
  readonly deadline?: bigint;
  readonly timedOut?: number;
  /**
   * What a handled signal makes of it: it starts over, if the action has SA_RESTART (`restart`; else EINTR) or in
   * any case (`always`); EINTR in any case (`eintr`); the signal waits (`never`).
   */
  readonly interrupted: 'restart' | 'always' | 'eintr' | 'never';
  /** The wait has ended in any way. */
  readonly end?: () => void;
  /** It ends by something outside of the diversion: a socket. */
  readonly outside?: boolean;
  /** For messages: `futex 0x7f…`. */
  readonly what: string;
}

/** A system call that was interrupted by a handler or a debugger, and is resumed later. */
export interface LeftCall {
  readonly number: number;
  /** The thread's rip when it resumes: after the instruction. */
  readonly rip: number;
  readonly rsp: number;
  /** See Thread.record. */
  readonly record: Gva;
  /** See Thread.since. */
  readonly since: bigint | null;
  /** The wait to resume; null: the call is restarted. */
  readonly wait: Wait | null;
}

/** User and group ids: as recorded if they are in the program's auxiliary vector. */
export interface Credentials {
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly egid: number;
}

/** Shared by tasks under CLONE_FS. */
export interface Place {
  directory: string;
  /** umask. */
  mask: number;
}

/** A loop that changes nothing: its thread waits for another one. */
export interface Spin {
  /** All registers at the loop's canonical place, which does not depend on where it was interrupted. */
  readonly at: string;
  /** In instructions. */
  readonly length: number;
}

/** A fault that the processor raised, for the signal frame. */
export interface FaultFacts {
  readonly trap: number;
  readonly errorCode: number;
  readonly address: bigint;
}

export const NO_FAULT: FaultFacts = { trap: 0, errorCode: 0, address: 0n };

/** One task of a diversion. Its registers, mask, alternate stack and vector state are the engine task's. */
export class Thread {
  wait: Wait | null = null;
  /**
   * The call that it makes before it continues, or -1. rip is after the instruction, which may have
   * been replaced: rr patches system call instructions while other threads are in the call.
   */
  again = -1;
  /** The monotonic clock when it entered the call that it is in, or is to make: its timeout counts from there. */
  since: bigint | null = null;
  /** Its position before a debugger wrote its registers, perhaps one by one; null: it has run since. */
  stood: { readonly rip: number; readonly rsp: number } | null = null;
  /** Calls that it will be back in, the innermost last. */
  readonly left: LeftCall[] = [];
  readonly pending = new PendingSignals();
  /** The mask to put back when the call that changed it is over (sigsuspend, ppoll). */
  savedMask: bigint | null = null;
  fault: FaultFacts = NO_FAULT;
  /** The call that it is in belongs to a buffered one: its result is also stored in the record (rr-traces.md 7.8). */
  record = gva(0);
  /** Its vfork parent waits until it execs or exits. */
  releaseParent: (() => void) | null = null;
  /** It is in a loop that changes nothing; `seen`: the progress of others at its last check. */
  spin: (Spin & { readonly seen: number }) | null = null;
  /** Stopped by SIGSTOP and the like. */
  stopped = false;
  dead = false;

  constructor(
    readonly task: Task,
    readonly process: Process,
  ) {
    process.threads.add(this);
  }

  get tid(): number {
    return this.task.tid;
  }
}

export interface IntervalTimer {
  /** Nanoseconds of the monotonic clock; 0n: disarmed. */
  next: bigint;
  interval: bigint;
}

export class Process {
  readonly threads = new Set<Thread>();
  readonly children = new Set<Process>();
  readonly pending = new PendingSignals();
  /** Wait status, once all its threads have exited. */
  status: number | null = null;
  /** The status that exit_group or a fatal signal has decided. */
  exiting: number | null = null;
  readonly alarm: IntervalTimer = { next: 0n, interval: 0n };
  group: number;
  session: number;
  /** Its exit was reported to the front end. */
  reported = false;
  /** Sent to the parent at its end; 0: none. */
  exitSignal = 17;

  constructor(
    readonly pid: number,
    public parent: Process | null,
    public descriptors: Descriptors,
    public place: Place,
    public actions: SignalActions,
    public credentials: Credentials,
    public program: Program | null,
  ) {
    parent?.children.add(this);
    this.group = parent?.group ?? pid;
    this.session = parent?.session ?? pid;
  }
}
