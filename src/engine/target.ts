/**
 * What a front end (the gdb server, the script API) needs of a program that can be stopped: a replay, which
 * also runs backwards, or a diversion. Both implement it; front ends depend on neither.
 *
 * Synchronous and resumable like ReplaySession: `begin` starts an operation, `poll` does a slice of
 * it and returns the stop or null, so that a front end can check for an interrupt in between.
 * Registers and memory may be accessed only while no operation is running.
 */
import type { Gva } from './base/address.js';
import type { Predicate } from './base/predicate.js';
import type { RegisterWords } from './base/registers.js';
import type { Vma } from './mm/vma.js';

export interface DebugTask {
  readonly tid: number;
  /** Thread group: what gdb calls an inferior. */
  readonly pid: number;
  /** At most 15 bytes, as in /proc/TID/comm. */
  readonly name: string;
}

/** A program that a thread group has executed. */
export interface Executable {
  /** As recorded. */
  readonly path: string;
  readonly arguments: readonly string[];
  /** The auxiliary vector as it was on the stack. */
  readonly auxv: Uint8Array;
  /** The working directory as known from the recording: the last chdir's, else PWD of its environment; or null. */
  readonly directory: string | null;
}

/** A descriptor of a process and its target, in the format of a link in /proc/PID/fd, as far as it is known. */
export interface OpenDescriptor {
  readonly fd: number;
  readonly name: string;
}

export type Direction = 'forward' | 'backward';

export interface RunRequest {
  readonly direction: Direction;
  /** The task that steps. For `continue`, the user's current task. */
  readonly tid: number;
  /**
   * `step`: one instruction of `tid`; other tasks may run in between. `range`: instructions of
   * `tid` while it is in [start, end). `continue`: to the next stop.
   */
  readonly mode:
    | { readonly kind: 'continue' }
    | { readonly kind: 'step' }
    | { readonly kind: 'range'; readonly start: Gva; readonly end: Gva };
  /**
   * Steps backwards: a signal that was just delivered is undone alone, as a step that executes
   * nothing, and is the stop; else the step before it is undone, too.
   */
  readonly stopAtSignals?: boolean;
  /**
   * Diversions: the signal that is delivered to `tid` on resume; 0 or absent: none. In a replay signals are recorded.
   */
  readonly signal?: number;
}

export type LifecycleKind = 'fork' | 'vfork' | 'clone' | 'exec';

/** Why the program stopped. `tid` is the task of the event. */
export type DebugStop =
  | { readonly kind: 'step'; readonly tid: number }
  | { readonly kind: 'breakpoint'; readonly tid: number; readonly address: Gva }
  /** Forward: the access has happened, rip is after it. Backward: it has been undone. */
  | {
      readonly kind: 'watchpoint';
      readonly tid: number;
      readonly address: Gva;
      readonly access: WatchAccess;
      /** What was watched, before the write and after it, where only changes are hits. */
      readonly values?: { readonly before: Uint8Array; readonly after: Uint8Array };
    }
  /** A signal as recorded (or, in a diversion, raised); before its handler runs. */
  | {
      readonly kind: 'signal';
      readonly tid: number;
      readonly signal: number;
      /** The kernel's siginfo_t, 128 bytes; null if it is not known. */
      readonly siginfo: Uint8Array | null;
    }
  /** Only those selected by `catchSyscalls`. */
  | {
      readonly kind: 'syscall';
      readonly tid: number;
      readonly number: number;
      readonly state: 'entering' | 'exiting';
    }
  /**
   * In both directions right after the event: the child (a tid) exists and has not run. Backwards it is undone
   * when the program next runs.
   */
  | { readonly kind: 'fork' | 'vfork' | 'clone'; readonly tid: number; readonly child: number }
  /**
   * Forward: after it, `path` is the new program. Backward: before it, `path` is the previous
   * program; the first exec of a recording is the beginning of history.
   */
  | { readonly kind: 'exec'; readonly tid: number; readonly path: string }
  /**
   * Forward only. Thread group `pid` is about to exit: its last task, `tid`, still exists, can be
   * inspected and run backwards, and is gone once the program continues. `status` as from wait(2),
   * null if it is not in the trace.
   */
  | {
      readonly kind: 'exited';
      readonly tid: number;
      readonly pid: number;
      readonly status: number | null;
    }
  /** The recording begins (direction backward) or ends (forward) here. Tasks that ended with it may be gone. */
  | { readonly kind: 'history-end'; readonly tid: number }
  | { readonly kind: 'interrupted'; readonly tid: number }
  /** Diversions: it cannot go on (limits, an exec, ...); `reason` is a sentence. */
  | { readonly kind: 'ended'; readonly tid: number; readonly reason: string };

export type WatchAccess = 'write' | 'read' | 'access';

export interface Breakpoint {
  /** Thread group, or null for all. */
  readonly pid: number | null;
  readonly address: Gva;
  /** Called with the arriving task; false: ignore the hit. */
  readonly condition?: (tid: number) => boolean;
  /**
   * What `condition` says, if it can be said so: it holds where one of these does. They may be computed while the program
   * runs; where one holds, or cannot be computed, `condition` is asked.
   */
  readonly predicates?: readonly Predicate[];
}

export interface Watchpoint {
  readonly pid: number | null;
  readonly address: Gva;
  /** Bytes; any number. */
  readonly length: number;
  readonly access: WatchAccess;
  readonly condition?: (tid: number) => boolean;
  /**
   * Of writes: only those are hits that change the value, and after which one of these holds, or cannot be computed. They
   * are computed where the program runs.
   */
  readonly predicates?: readonly Predicate[];
}

/** Breakpoints are compared by identity: to remove one, pass the object that was added. */
export interface DebugTarget {
  readonly kind: 'replay' | 'diversion';
  tasks(): readonly DebugTask[];
  /** The task that the last stop was of. */
  readonly currentTid: number;
  executable(pid: number): Executable;
  /** By number; descriptors that were open when the recording began, and are not known otherwise, are missing. */
  descriptors(pid: number): readonly OpenDescriptor[];

  /** A copy. In user_regs_struct order; orig_rax as a debugger shows it. */
  registers(tid: number): RegisterWords;
  /** A standard-form XSAVE image in the recorded layout. */
  vectorState(tid: number): Uint8Array;
  /** Reads at supervisor privilege, without breakpoints of ours in it; returns how many bytes could be read. */
  readMemory(tid: number, start: Gva, into: Uint8Array): number;
  /** The mappings of the task's address space, in order. */
  mappings(tid: number): readonly Vma[];
  /** The signal that the task is stopped at, if the last stop was one. */
  siginfo(tid: number): Uint8Array | null;

  /**
   * At some time there were more breakpoints than debug registers while the program ran: the others
   * were INT3 in its code, which is visible to a program that reads its code.
   */
  readonly hadBreakpointsInCode: boolean;
  addBreakpoint(breakpoint: Breakpoint): void;
  removeBreakpoint(breakpoint: Breakpoint): void;
  addWatchpoint(watchpoint: Watchpoint): void;
  removeWatchpoint(watchpoint: Watchpoint): void;
  /** Numbers of system calls to stop at, or 'all', or 'none'. */
  catchSyscalls(which: readonly number[] | 'all' | 'none'): void;
  /** Stop at these, of any process; others are ignored. Initially none. */
  catchLifecycle(kinds: readonly LifecycleKind[]): void;

  /** Precondition: no operation is running. */
  begin(request: RunRequest): void;
  /**
   * Works for some milliseconds; null: not done yet, call again. Throws RevenantError; afterwards the target can only
   * be read and closed.
   */
  poll(): DebugStop | null;
  /** Set while waiting for something external: polling is pointless before it is resolved. */
  readonly waiting?: Promise<void> | null;
  /** Ends the running operation with `interrupted` at the next poll. No error if none is running. */
  interrupt(): void;
}

/** What a program has written to its standard output (1) or error (2). */
export interface OutputPart {
  readonly stream: 1 | 2;
  readonly bytes: Uint8Array;
}

/**
 * Output of a diverted program that is still in its libraries' buffers. Methods with a task are
 * about a call in it; they preserve its registers, and its stack above `floor` (default: its stack
 * pointer). `turn` is called repeatedly, and may interrupt the target.
 */
export interface OutputBuffers {
  /** Before a call: what was in the buffers already is not the call's, and is withheld. */
  before(tid: number, turn: () => Promise<void>, floor?: number): Promise<void>;
  /** The call has returned: text that it left in buffers is flushed, or reported. */
  after(tid: number, turn: () => Promise<void>, floor?: number): Promise<void>;
  /** The call is stopped and has not returned: text that it has left in buffers so far is reported. */
  left(tid: number): void;
  /** From now on the program runs on in the diversion, by itself: what was withheld is its output, too. */
  runsOn(): void;
}

/** A target whose state can be changed: a diversion. Not a replay. */
export interface MutableTarget extends DebugTarget {
  readonly kind: 'diversion';
  setRegisters(tid: number, registers: RegisterWords): void;
  setVectorState(tid: number, image: Uint8Array): void;
  /** Writes regardless of protection; returns how many bytes could be written. */
  writeMemory(tid: number, start: Gva, bytes: Uint8Array): number;
  /**
   * Adds a zeroed mapping to the task's process, protected as by mmap(2). Page-aligned; false if part of it is already
   * mapped.
   */
  mapMemory(tid: number, start: Gva, end: Gva, prot: number): boolean;
  /** Whether the task's process has a handler for a signal by now. */
  handles(tid: number, signal: number): boolean;
  /** The diverted program's writes to standard output and error since the last call. */
  takeOutput(): OutputPart[];
  /** Puts taken output back: it comes first in the next call. */
  giveBackOutput(parts: readonly OutputPart[]): void;
  /** Ends it in any state, and frees its resources; the replay has not moved. */
  close(): void;
}

/** A diversion, and how what calls in it print is brought out; null: it stays in the program's buffers. */
export interface StartedDiversion {
  readonly target: MutableTarget;
  readonly buffers: OutputBuffers | null;
}

/**
 * Makes a diversion of a stopped replay. Until it is closed the replay must not run.
 * @param say gets messages for the user, as sentences
 */
export type StartDiversion = (replay: ReplayTarget, say: (text: string) => void) => StartedDiversion;

/** One instruction of a recording; `momentText` of base/place.ts writes it. */
export interface Moment {
  /** After this frame. */
  readonly frameTime: number;
  /** Where a task arrives, for the `hit`th time after the frame; null: right after the frame. */
  readonly address: Gva | null;
  readonly hit: number;
}

/** A replay as a target: it knows its position in the recording and can go to any other. */
export interface ReplayTarget extends DebugTarget {
  readonly kind: 'replay';
  /** FrameTime of the last frame that was replayed completely. */
  readonly frameTime: number;
  /** The last frame of the trace, if it is known by now. */
  readonly lastFrame: number | null;
  /** Ticks of a task at its current position; null if they have to be counted first (`beginCountTicks`). */
  ticks(tid: number): number | null;
  /** Counts the ticks of the task that runs here, until `poll` returns a stop. The program does not move. */
  beginCountTicks(): void;
  /**
   * Goes to the first place after frame `frameTime` at which the task of the next frame has this
   * tick count. `poll` throws E_USAGE if it never has; the program has then not moved.
   */
  beginSeekTicks(frameTime: number, ticks: number): void;
  /**
   * Finds the name of the current moment, which `moment` returns when `poll` has returned a stop. The program does not
   * move.
   */
  beginMoment(): void;
  /** As found by `beginMoment`; null if the program has moved since. */
  readonly moment: Moment | null;
  /**
   * Goes to the `hit`th arrival of any task at one of these addresses after a frame, ignoring other
   * stops on the way. `poll` throws E_USAGE if there are fewer; the program has then not moved.
   */
  beginGotoArrival(frameTime: number, addresses: readonly Gva[], hit: number): void;
  /** Goes to right after frame `frameTime`, in either direction; `poll` returns a stop of kind `step` there. */
  beginGoto(frameTime: number): void;
  /** Signals that do not stop. Initially none. */
  passSignals(signals: ReadonlySet<number>): void;
  /** Disables breakpoints, watchpoints and catchpoints; the returned function restores them. */
  suspendStops(): () => void;
  /** Saves the current position; the number identifies it. */
  mark(): number;
  /** Goes back (or forward) to a position saved by `mark`, as `beginGoto` does. */
  beginGotoMark(mark: number): void;
  forget(mark: number): void;
  /** Where a symbol of the program or of a library is in the task's memory, or null. */
  symbol(tid: number, name: string): Gva | null;
}
