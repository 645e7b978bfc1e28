import type { Gpa, Gva } from '../base/address.js';
import { newRegisters, type RegisterWords } from '../base/registers.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { ByteSource } from '../mm/backing.js';
import type { FdTable } from './fd-table.js';

/** Where the recorder's preload library keeps what replay must read and write (notes 7.2). */
export interface PreloadState {
  /** `preload_globals`, or 0. */
  globals: Gva;
  /** The load that faults when the number of committed records is reached. */
  breakpointInstruction: Gva;
  syscallHook: Gva;
}

/** A registration of restartable sequences. */
export interface RseqRegistration {
  pointer: Gva;
  signature: number;
}

/** Tasks of one tgid. Not a resource: bookkeeping for exec and exit. */
export class ThreadGroup {
  readonly tasks = new Set<Task>();
  /** Wait status of the group, from the exit record of its first task, when known. */
  constructor(
    public tgid: number,
    readonly parent: ThreadGroup | null,
  ) {}

  /** The same group without its tasks, for copies of them. */
  copy(parent: ThreadGroup | null): ThreadGroup {
    return new ThreadGroup(this.tgid, parent);
  }
}

/**
 * One recorded task. Plain data: what a checkpoint copies.
 *
 * Invariant: while the task is on the vCPU, its registers are the context page's and `registers` and
 * `xstate` are stale.
 */
export class Task {
  /** The recorded general registers while the task is not on the vCPU. */
  readonly registers: RegisterWords = newRegisters();
  /** A standard XSAVE image in the hardware's layout while the task is not on the vCPU; null: initial state. */
  xstate: Uint8Array | null = null;
  name = '';

  /** The page behind 0x70001000 while this task runs; one count is ours. 0 before the first exec. */
  threadLocals = 0 as Gpa;
  /** Scratch area of the recorder in this address space; 0 = none. */
  scratchStart = 0 as Gva;
  scratchEnd = 0 as Gva;
  syscallbuf = 0 as Gva;
  syscallbufSize = 0;
  preload: PreloadState = { globals: 0 as Gva, breakpointInstruction: 0 as Gva, syscallHook: 0 as Gva };
  rseq: RseqRegistration | null = null;
  /** Captured file data of large reads and the shared file offset in it, once read from. */
  clonedData: { readonly source: ByteSource; offset: number } | null = null;

  /** The task stands in a system call whose `enteringPtrace` frame was replayed. */
  entered = false;
  /** The next sched, signal or syscall frame is retired without execution (notes 7.6, step 5). */
  skipNextExecution = false;
  /** The task only exits from here on; its registers are not verified any more (notes 8.5). */
  dying = false;
  /** Ticks as of the last frame of this task, as recorded. */
  recTicks = 0;
  /** Ticks where the task stands, or -1 where nobody counted since they were last known. */
  ticks = 0;

  /**
   * @param tid the recorded tid
   * @param serial ordinal of task creation in the session: tids are recycled, (tid, serial) is not
   */
  constructor(
    public tid: number,
    public serial: number,
    public space: AddressSpace,
    public fds: FdTable,
    public group: ThreadGroup,
  ) {
    space.users++;
    fds.users++;
    group.tasks.add(this);
  }
}
