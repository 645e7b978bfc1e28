import { gva, type Gpa, type Gva } from '../base/address.js';
import { newRegisters, type RegisterWords } from '../base/registers.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { ByteSource } from '../mm/backing.js';
import type { FdTable } from './fd-table.js';
import { NO_ALT_STACK, SignalActions, type AltStack } from './signal-state.js';

/** Where the recorder's preload library keeps what replay must read and write (rr-traces.md 7.2). */
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

/** The program that a thread group executed last. */
export interface Program {
  /** As recorded. */
  readonly path: string;
  readonly arguments: readonly string[];
  /** Stack pointer at its first instruction: argc, arguments, environment and auxiliary vector are above it. */
  readonly initialStack: Gva;
  /** The auxiliary vector as the kernel put it there. */
  readonly auxv: Uint8Array;
  /** The mapped file that it is, as recorded; `path` may be relative, a link or a script. */
  readonly file: string;
}

/** Tasks of one tgid. Not a resource: bookkeeping for exec and exit. */
export class ThreadGroup {
  readonly tasks = new Set<Task>();
  program: Program | null = null;
  actions = new SignalActions();
  /** The working directory, known after a chdir; null: that of the parent or of the recorder. */
  directory: string | null = null;

  /** Wait status of the group, from the exit record of its first task, when known. */
  status: number | null = null;
  constructor(
    public tgid: number,
    readonly parent: ThreadGroup | null,
  ) {}

  /** The same group without its tasks, for copies of them. */
  copy(parent: ThreadGroup | null): ThreadGroup {
    const copy = new ThreadGroup(this.tgid, parent);
    copy.program = this.program;
    copy.actions = this.actions.clone();
    copy.directory = this.directory;
    copy.status = this.status;
    return copy;
  }
}

export const NO_DESCRIPTORS = new Uint32Array(6);

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
  /** The three descriptors of set_thread_area, two words each. Immutable: forks share them. */
  threadDescriptors: Uint32Array = NO_DESCRIPTORS;
  name = '';

  /** The page at 0x70001000 while this task runs, with one reference. 0 before the first exec. */
  threadLocals = 0 as Gpa;
  /** Scratch area of the recorder in this address space; 0 = none. */
  scratchStart = gva(0);
  scratchEnd = gva(0);
  syscallbuf = gva(0);
  syscallbufSize = 0;
  preload: PreloadState = { globals: gva(0), breakpointInstruction: gva(0), syscallHook: gva(0) };
  rseq: RseqRegistration | null = null;
  /** Captured file data of large reads and the shared file offset in it, once read from. */
  clonedData: { readonly source: ByteSource; offset: number } | null = null;

  /** The task is in a system call whose `enteringPtrace` frame was replayed. */
  entered = false;
  /** The next sched, signal or syscall frame is retired without execution (rr-traces.md 7.6, step 5). */
  skipNextExecution = false;
  /** The task only exits from here on; its registers are not verified any more (rr-traces.md 8.5). */
  dying = false;
  /** The system call that the task is in, or will restart, or -1. */
  syscall = -1;
  /** The recorder's clock when the task entered the call, or when the call last wrote back what was left of its timeout. */
  syscallSince = 0;
  /** By a signal or its debugger, as known from the recording. */
  stopped = false;
  /** Blocked signals, as known from the recording. */
  signalMask = 0n;
  altStack: AltStack = NO_ALT_STACK;
  /** CLONE_CHILD_CLEARTID and set_tid_address; 0: none. */
  clearTid = gva(0);
  /** set_robust_list; 0: none. */
  robustList = gva(0);
  /** Ticks as of the last frame of this task, as recorded. */
  recTicks = 0;
  /** Ticks at the task's position, or -1 if not counted since they were last known. */
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
